-- The index with this name on this table, whether it is valid (its build succeeded), and its definition.
-- $1 name, $2 oid of its table. Lock: none.
select c.oid, i.indisvalid and i.indisready as is_valid, pg_catalog.pg_get_indexdef(c.oid) as definition
from pg_catalog.pg_class c
join pg_catalog.pg_index i on i.indexrelid = c.oid
where c.relname = $1 and i.indrelid = $2
