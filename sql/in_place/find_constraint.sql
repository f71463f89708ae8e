-- The constraint with this name on this table.
-- $1 oid of the table, $2 name. Lock: none.
select c.oid from pg_catalog.pg_constraint c where c.conrelid = $1 and c.conname = $2
