-- The segments of a store, the current one last; for an older one, whether a statement that began before it was sealed
-- is still active.
-- $1 table change, $2 store, $3 oid of the captured table. Lock: none.
select s.number, s.writers is not null as is_sealed,
       coalesce(pg_catalog.pg_relation_size(pg_catalog.to_regclass(pg_catalog.format('pgrecast.%I', s.store || '_' || s.number))), 0) as bytes,
       exists (select from pg_catalog.pg_locks l
               where l.locktype = 'relation' and l.relation = $3 and l.pid is not null
                 and l.virtualtransaction = any (s.writers)) as is_written
from pgrecast.segment s where s.table_change_id = $1 and s.store = $2
order by s.number
