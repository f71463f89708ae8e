-- Part of another statement: the views that read relation s.source, or use its row type. Lock: none.
select w.ev_class as view
from pg_catalog.pg_class rel
cross join lateral (
    select 'pg_catalog.pg_class'::regclass::oid as classid, rel.oid as objid
    union all
    select 'pg_catalog.pg_type'::regclass, y.oid from pg_catalog.pg_type y where y.typrelid = rel.oid
    union all
    select 'pg_catalog.pg_type'::regclass, y.typarray from pg_catalog.pg_type y where y.typrelid = rel.oid
) as what
join pg_catalog.pg_depend d on d.refclassid = what.classid and d.refobjid = what.objid
    and d.classid = 'pg_catalog.pg_rewrite'::regclass
join pg_catalog.pg_rewrite w on w.oid = d.objid and w.rulename = '_RETURN' and w.ev_class <> rel.oid
where rel.oid = s.source
