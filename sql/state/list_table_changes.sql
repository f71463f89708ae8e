-- The tables of a migration, in order.
-- $1 migration. Lock: none.
select id, migration_id, ordinal, schema_name, table_name, original_oid, shadow_oid, shadow_schema,
       retired_schema, statements, reverse, filter, order_by, column_order, fingerprint, rows_estimated, filenode, blocks, next_block,
       capture_xmins
from pgrecast.table_change where migration_id = $1 order by ordinal
