-- Sessions that hold a conflicting lock on these relations. Values that the role may not see are null: ages, queries
-- and kinds of other sessions (pg_read_all_stats shows them). A session without a role that holds the lock of VACUUM is
-- an autovacuum worker; it is cancelled when another session waits for it, unless it prevents wraparound.
-- $1 oids, $2 conflicting modes. Lock: none.
select l.pid,
       l.virtualtransaction as transaction,
       coalesce(a.application_name, '') as application,
       case when l.pid is null then 'prepared transaction' else a.state end as state,
       extract(epoch from pg_catalog.clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8 as transaction_seconds,
       extract(epoch from pg_catalog.clock_timestamp() - a.query_start)::float8 as query_seconds,
       l.pid is not null and a.usesysid is null and l.mode = 'ShareUpdateExclusiveLock' as is_autovacuum,
       coalesce(a.query like '%(to prevent wraparound)%', false) as prevents_wraparound,
       l.relation::regclass::text as relation
from pg_catalog.pg_locks l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
left join pg_catalog.pg_prepared_xacts p on l.pid is null and l.virtualtransaction = '-1/' || p.transaction::text
where l.locktype = 'relation' and l.granted and l.relation = any($1::oid[]) and l.mode = any($2)
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
  and l.pid is distinct from pg_catalog.pg_backend_pid()
order by l.pid
