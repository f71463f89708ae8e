-- The tables in the schema of the state.
-- $1 name of the schema. Lock: none.
select c.relname::text as name
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind = 'r'
order by 1
