-- Who holds or awaits a lock on these relations that conflicts with ours.
-- $1 oids, $2 conflicting modes. Lock: none.
select l.pid, coalesce(a.application_name, '') as application, coalesce(a.state, 'prepared transaction') as state,
       coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start), 0)::float8 as transaction_seconds,
       coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.query_start), 0)::float8 as query_seconds,
       a.backend_type = 'autovacuum worker' is true
           and a.query not like '%to prevent wraparound%' as gives_way,
       l.relation::regclass::text as relation
from pg_catalog.pg_locks l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.granted and l.relation = any($1::oid[]) and l.mode = any($2)
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
  and l.pid is distinct from pg_catalog.pg_backend_pid()
