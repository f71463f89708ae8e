-- The backends among these that still exist. Every role can see pid, database and role of a backend, but not its start
-- time and client address. A backend with a hidden start time is included, because it may be the same one.
-- $1 pids, $2 start times, $3 oids of the login roles. Lock: none.
select a.pid, a.backend_start is not null as is_certain, coalesce(a.application_name, '') as application,
       pg_catalog.pg_get_userbyid(a.usesysid)::text as role_name,
       case when a.backend_start is not null then coalesce(a.client_addr::text, 'the server itself') end as client
from rows from (pg_catalog.unnest($1::int[]), pg_catalog.unnest($2::timestamptz[]), pg_catalog.unnest($3::oid[]))
     b (pid, started, role)
join pg_catalog.pg_stat_activity a on a.pid = b.pid and a.usesysid = b.role
where a.datname = pg_catalog.current_database() and (a.backend_start is null or a.backend_start = b.started)
order by a.pid
