-- One table of a migration.
-- $1 migration, $2 ordinal, $3 schema, $4 table, $5 oid, $6 shadow schema, $7 retired schema, $8 the statements, $9
-- --reverse, $10 --where, $11 --order-by, $12 --columns, $13 strategy, $14 fingerprint, $15 estimated rows. Lock: none.
insert into pgrecast.table_change (migration_id, ordinal, schema_name, table_name, original_oid, shadow_schema,
    retired_schema, statements, reverse, filter, order_by, column_order, strategy, fingerprint, rows_estimated)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
returning id
