-- Objects that use a sequence, other than the table that owns it.
-- $1 oid of the sequence, $2 oid of the table. Lock: none.
select pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) as user_name
from pg_catalog.pg_depend d
where d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = $1
  and not (d.classid = 'pg_catalog.pg_attrdef'::regclass
           and exists (select from pg_catalog.pg_attrdef a where a.oid = d.objid and a.adrelid = $2))
order by 1
