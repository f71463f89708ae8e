-- Sessions of one migration other than this one; optionally terminated, as far as the login role may do that.
-- $1 beginning of their application_name, $2 whether to terminate them. Lock: none.
select count(*) as sessions,
       count(case when $2 and pg_catalog.pg_has_role(session_user, a.usesysid, 'usage')
                       and (not r.rolsuper or me.rolsuper)
                  then pg_catalog.pg_terminate_backend(a.pid) end) as ended,
       coalesce(pg_catalog.string_agg('pid ' || a.pid || ' of role ' || r.rolname, ', '), '') as who
from pg_catalog.pg_stat_activity a
join pg_catalog.pg_roles r on r.oid = a.usesysid
join pg_catalog.pg_roles me on me.rolname = session_user
where a.pid <> pg_catalog.pg_backend_pid() and pg_catalog.starts_with(a.application_name, $1)
  and a.datname = pg_catalog.current_database()
