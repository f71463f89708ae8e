-- Objects outside of a table that use one of these columns.
-- $1 oid of the table, $2 names of columns, $3 whether functions and publications only. Lock: none.
select distinct a.attname::text as column_name,
       case when w.oid is not null and w.rulename = '_RETURN' then 'view ' || w.ev_class::regclass::text
            else pg_catalog.pg_describe_object(d.classid, d.objid, 0) end as user_name
from pg_catalog.pg_attribute a
join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = a.attrelid
    and d.refobjsubid = a.attnum
left join pg_catalog.pg_rewrite w on d.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = d.objid
where a.attrelid = $1 and a.attname = any ($2::text[]) and not a.attisdropped
  and (d.classid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_publication_rel'::regclass)
       or (not $3 and d.classid in ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_policy'::regclass)))
order by 1, 2
