-- Statistics of a table's columns: average width in bytes, and the fraction of NULLs.
-- $1 oid of the table. Lock: none.
select s.attname::text as name, s.avg_width::float8 as width, s.null_frac::float8 as nulls
from pg_catalog.pg_stats s
join pg_catalog.pg_class c on c.relname = s.tablename
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = s.schemaname
where c.oid = $1 and not s.inherited
