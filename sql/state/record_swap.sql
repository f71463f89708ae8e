-- Records the swap in its transaction, with the lock statistics for all tables of the migration.
-- $1 migration, $2 xid, $3 attempts, $4 milliseconds that other sessions may have waited, $5 the blocking sessions, $6
-- milliseconds under the locks so far. Lock: the rows.
with swapped as (
    update pgrecast.migration set swap_xid = $2, swapped_at = pg_catalog.clock_timestamp() where id = $1 returning id
)
update pgrecast.table_change t
set lock_attempts = $3, lock_waited_ms = $4, lock_blockers = $5, lock_held_ms = $6
from swapped where t.migration_id = swapped.id
