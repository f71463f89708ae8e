-- The pid, start time and role of this session's backend, which identify it in other sessions.
-- Lock: none.
select a.pid, a.backend_start, a.usesysid as role_oid
from pg_catalog.pg_stat_activity a
where a.pid = pg_catalog.pg_backend_pid()
