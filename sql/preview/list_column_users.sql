-- Objects that use a column and prevent the server from changing its type or dropping it.
-- $1 oid of the table, $2 name of the column. Lock: none.
select distinct pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) as user_name
from pg_catalog.pg_depend d
join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = $1 and a.attname = $2
  and d.classid in ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_policy'::regclass,
                    'pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_publication_rel'::regclass)
order by 1
