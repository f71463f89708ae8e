-- Objects that refer to a table, except those that were retired with it.
-- $1 oid of the table, $2 the schema of the retired objects. Lock: none.
select case when w.oid is not null then w.ev_class::regclass::text
            else pg_catalog.pg_describe_object(d.classid, d.objid, 0) end as name
from pg_catalog.pg_depend d
left join pg_catalog.pg_rewrite w on d.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = d.objid
left join pg_catalog.pg_class v on v.oid = w.ev_class
left join pg_catalog.pg_namespace n on n.oid = v.relnamespace
where ((d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = $1)
       or (d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid in (
           select y.oid from pg_catalog.pg_type y where y.typrelid = $1
           union all select y.typarray from pg_catalog.pg_type y where y.typrelid = $1)))
  and d.classid in ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_proc'::regclass,
                    'pg_catalog.pg_publication_rel'::regclass)
  and n.nspname is distinct from $2
limit 1
