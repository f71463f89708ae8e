-- Relations other than this one that a view reads.
-- $1 oid of the view, $2 oid of the relation. Lock: none.
select distinct d.refobjid::pg_catalog.regclass::text as relation
from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d
    on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
where r.ev_class = $1 and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid not in ($1, $2)
