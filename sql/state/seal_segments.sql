-- Records which transactions may still write to an older segment: those that held a lock for writing on the captured
-- table after the new function was committed. A transaction that acquires such a lock later uses the new function.
-- $1 table change, $2 store, $3 current number, $4 oid of the captured table. Lock: none.
update pgrecast.segment s set writers = array(
    select distinct l.virtualtransaction from pg_catalog.pg_locks l
    where l.locktype = 'relation' and l.relation = $4 and l.granted and l.pid is not null
      and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
where s.table_change_id = $1 and s.store = $2 and s.number < $3 and s.writers is null
