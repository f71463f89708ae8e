-- Whether an expression, which is the column of a temporary view, reads other columns than this one.
-- $1 oid of the view, $2 the column. Lock: none.
select exists (
    select from pg_catalog.pg_rewrite r
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
         and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> $1 and d.refobjsubid <> 0
    join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where r.ev_class = $1 and a.attname <> $2
) as mixed
