-- The tables of a migration, in order.
-- $1 migration. Lock: none.
select id, migration_id, ordinal, phase, schema_name, table_name, original_oid, shadow_oid, shadow_schema, retired_schema,
       statements, reverse, filter, order_by, column_order, strategy, fingerprint, rows_estimated,
       verified_rows, verified_differences, verified_at::text as verified_at,
       lock_attempts, lock_held_ms, lock_waited_ms, lock_blockers, keys_replayed, rounds
from pgrecast.table_change where migration_id = $1 order by ordinal
