-- Terminates client sessions that hold a conflicting lock on a table, as far as this role may: never a worker of the
-- server (autovacuum), a replication sender, or a session that is recorded as ours; if its start time is hidden, one that
-- has the pid and the role of one of ours.
-- $1 oid of the table, $2 conflicting modes; $3, $4, $5 pids, start times and login roles of our sessions. Lock: none.
with holder as (
    select distinct a.pid, a.application_name as application, a.usesysid
    from pg_catalog.pg_locks l
    join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'relation' and l.granted and l.relation = $1 and l.mode = any($2)
      and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
      and a.pid <> pg_catalog.pg_backend_pid() and a.usesysid is not null
      and coalesce(a.backend_type, 'client backend') = 'client backend'
      and not exists (select from pg_catalog.pg_stat_get_wal_senders() s where s.pid = a.pid)
      and not exists (
          select from rows from (pg_catalog.unnest($3::int[]), pg_catalog.unnest($4::timestamptz[]),
                                 pg_catalog.unnest($5::oid[])) ours (pid, started, role)
          where ours.pid = a.pid and ours.role = a.usesysid
            and (a.backend_start is null or a.backend_start = ours.started))
), allowed as (
    select h.pid, h.application,
           (pg_catalog.pg_has_role(session_user, h.usesysid, 'usage')
            or pg_catalog.pg_has_role(session_user, 'pg_signal_backend', 'usage'))
           and (not r.rolsuper or (select me.rolsuper from pg_catalog.pg_roles me where me.rolname = session_user)) as may_end
    from holder h join pg_catalog.pg_roles r on r.oid = h.usesysid
)
select pid, coalesce(application, '') as application,
       case when may_end then pg_catalog.pg_terminate_backend(pid) else false end as ended
from allowed
