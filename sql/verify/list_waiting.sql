-- A session that waits for a lock on a table because of one of our sessions: TRUNCATE or DDL, because we only read.
-- $1 oid of the table, $2 backend of ours. Lock: none.
select l.pid, coalesce(a.application_name, '') as application
from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.relation = $1 and not l.granted and l.mode = 'AccessExclusiveLock'
  and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
  and $2::int4 = any (pg_catalog.pg_blocking_pids(l.pid))
