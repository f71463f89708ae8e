-- Objects that use columns of a table by their position: they use its row type, or have a list of column aliases (`from
-- t x (a, b)`), which the server stores by position. The list may belong to another relation; this is not checked.
-- $1 oid of the table. Lock: none.
with row_type as (
    select y.oid from pg_catalog.pg_type y where y.typrelid = $1
    union all
    select y.typarray from pg_catalog.pg_type y where y.typrelid = $1 and y.typarray <> 0
), hanging as (
    select d.classid, d.objid, bool_or(d.refclassid = 'pg_catalog.pg_type'::regclass) as by_type
    from pg_catalog.pg_depend d
    where (d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = $1)
       or (d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid in (select oid from row_type))
    group by d.classid, d.objid
), read as (
    select h.*, w.oid is not null or p.oid is not null or f.prosqlbody is not null as is_parsed,
           f.prorettype in (select oid from row_type) as gives_rows,
           -- the server's text form of the parse tree
           pg_catalog.concat(w.ev_action::text, w.ev_qual::text, p.polqual::text, p.polwithcheck::text, f.prosqlbody::text)
               ~ ':alias \{ALIAS :aliasname ([^ \\]|\\.)+ :colnames \(' as has_list
    from hanging h
    left join pg_catalog.pg_rewrite w on h.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = h.objid
    left join pg_catalog.pg_policy p on h.classid = 'pg_catalog.pg_policy'::regclass and p.oid = h.objid
    left join pg_catalog.pg_proc f on h.classid = 'pg_catalog.pg_proc'::regclass and f.oid = h.objid
)
select pg_catalog.pg_describe_object(classid, objid, 0) as user_name
from read
where is_parsed and (by_type or has_list) or gives_rows
order by classid, objid
