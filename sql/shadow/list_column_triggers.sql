-- The triggers and generated columns of a table that depend on these columns.
-- $1 oid of the table, $2 names of the columns. Lock: none.
select a.attname::text as column_name, coalesce(t.tgname, g.attname)::text as user_name, g.attname is not null as is_generated
from pg_catalog.pg_attribute a
join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = a.attrelid
                           and d.refobjsubid = a.attnum
left join pg_catalog.pg_trigger t on d.classid = 'pg_catalog.pg_trigger'::regclass and t.oid = d.objid and not t.tgisinternal
left join pg_catalog.pg_attrdef e on d.classid = 'pg_catalog.pg_attrdef'::regclass and e.oid = d.objid
-- Before PostgreSQL 15 the dependency belongs to the generated column, not to its expression.
left join pg_catalog.pg_attribute g on g.attrelid = a.attrelid and g.attgenerated <> '' and g.attnum <> a.attnum
     and g.attnum = coalesce(e.adnum, case when d.classid = 'pg_catalog.pg_class'::regclass and d.objid = a.attrelid then d.objsubid end)
where a.attrelid = $1 and a.attname = any($2::text[]) and coalesce(t.tgname, g.attname) is not null
order by is_generated desc, 1, 2
