-- The relation with this name.
-- $1 schema, $2 name. Lock: none.
select c.oid
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2
