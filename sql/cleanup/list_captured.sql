-- The tables with capture triggers of a migration, whatever their names are now. A newer migration of the same table
-- has its own functions.
-- $1 schema and $2 names of the migration's functions. Lock: none.
select distinct c.oid, n.nspname::text as schema_name, c.relname::text as table_name
from pg_catalog.pg_trigger t
join pg_catalog.pg_proc p on p.oid = t.tgfoid and p.proname = any($2)
join pg_catalog.pg_namespace pn on pn.oid = p.pronamespace and pn.nspname = $1
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal
order by 2, 3
