-- Terminates these backends, as far as this role may. Does not terminate a backend whose start time is hidden from it.
-- $1 pids, $2 start times. Lock: none.
select a.pid, pg_catalog.pg_terminate_backend(a.pid) as ended
from rows from (pg_catalog.unnest($1::int[]), pg_catalog.unnest($2::timestamptz[])) b (pid, started)
join pg_catalog.pg_stat_activity a on a.pid = b.pid and a.backend_start = b.started
join pg_catalog.pg_roles r on r.oid = a.usesysid
join pg_catalog.pg_roles me on me.rolname = session_user
where pg_catalog.pg_has_role(session_user, a.usesysid, 'usage') and (not r.rolsuper or me.rolsuper)
