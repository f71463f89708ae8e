-- The current name of a constraint of this table.
-- $1 oid of the table, $2 oid of the constraint. Lock: none.
select c.conname::text as name from pg_catalog.pg_constraint c where c.conrelid = $1 and c.oid = $2
