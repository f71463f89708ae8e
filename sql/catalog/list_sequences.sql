-- Sequences that belong to a table's columns: serial ('a') and identity ('i').
-- $1 oid of the table. Lock: none.
select s.oid,
       n.nspname::text as schema_name,
       s.relname::text as name,
       a.attnum as column_number,
       a.attname::text as column_name,
       d.deptype = 'i' as is_identity,
       pg_catalog.format_type(q.seqtypid, null) as type_name,
       q.seqcache as cache,
       pg_catalog.obj_description(s.oid, 'pg_class') as comment
from pg_catalog.pg_depend d
join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
join pg_catalog.pg_namespace n on n.oid = s.relnamespace
join pg_catalog.pg_sequence q on q.seqrelid = s.oid
join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
  and d.refobjid = $1 and d.refobjsubid > 0 and d.deptype in ('a', 'i')
order by a.attnum, s.relname
