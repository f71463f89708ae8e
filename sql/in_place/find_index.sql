-- Whether there is an index of this name and whether it is valid: one whose build failed is not.
-- $1 schema, $2 name, $3 oid of its table. Lock: none.
select i.indisvalid and i.indisready as is_valid, i.indrelid = $3 as is_here
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_index i on i.indexrelid = c.oid
where n.nspname = $1 and c.relname = $2
