-- The current name of a table. $1 its oid. Lock: none.
select n.nspname::text as schema_name, c.relname::text as table_name
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = $1
