-- Part of another statement: the views that read relation s.source, use its row type, or call a function whose
-- signature has that type. Lock: none.
select w.ev_class as view
from pg_catalog.pg_class rel
cross join lateral (
    select 'pg_catalog.pg_class'::regclass::oid as classid, rel.oid as objid
    union all
    select 'pg_catalog.pg_type'::regclass, y.oid from pg_catalog.pg_type y where y.typrelid = rel.oid
    union all
    select 'pg_catalog.pg_type'::regclass, y.typarray from pg_catalog.pg_type y where y.typrelid = rel.oid
) as what
cross join lateral (
    select what.classid, what.objid
    union all
    select f.classid, f.objid from pg_catalog.pg_depend f
    where what.classid = 'pg_catalog.pg_type'::regclass and f.refclassid = what.classid and f.refobjid = what.objid
      and f.classid = 'pg_catalog.pg_proc'::regclass
) as used
join pg_catalog.pg_depend d on d.refclassid = used.classid and d.refobjid = used.objid
    and d.classid = 'pg_catalog.pg_rewrite'::regclass
join pg_catalog.pg_rewrite w on w.oid = d.objid and w.rulename = '_RETURN' and w.ev_class <> rel.oid
where rel.oid = s.source
