-- Columns that can store the oid of the table or of its row type, in tables that this role may read.
-- $1 oid of the table. Lock: none.
select n.nspname::text as schema_name, c.relname::text as name, a.attname::text as column_name,
       case when a.atttypid = 'pg_catalog.regtype'::regtype then t.reltype else t.oid end as value,
       a.atttypid::regtype::text as type_name
from pg_catalog.pg_class t
cross join pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where t.oid = $1 and c.relkind in ('r', 'p', 'm') and not c.relispartition and c.relpersistence <> 't'
  and (c.relkind <> 'm' or c.relispopulated)
  and a.atttypid in ('pg_catalog.oid'::regtype, 'pg_catalog.regclass'::regtype, 'pg_catalog.regtype'::regtype)
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'pgrecast') and n.nspname not like 'pgrecast\_%'
  and pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_column_privilege(c.oid, a.attnum, 'select')
order by pg_catalog.pg_relation_size(c.oid), 1, 2, 3
