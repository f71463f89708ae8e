-- The live columns of a table, each with its type resolved through domains.
-- $1 oid of the table. Lock: none.
select a.attnum as number,
       a.attname::text as name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) as type_name,
       base.type_schema,
       base.type_name as base_name,
       base.typmod as base_typmod,
       base.type_kind,
       base.element_is_varlength,
       a.atttypid <> base.type_oid as is_domain,
       pg_catalog.format_type(a.atttypid, null) as bare_type_name,
       -- NOT NULL that is NOT VALID (since PostgreSQL 18) sets attnotnull too
       a.attnotnull and not exists (select from pg_catalog.pg_constraint c
                                    where c.conrelid = a.attrelid and c.contype = 'n' and c.conkey = array[a.attnum]
                                      and not c.convalidated) as is_not_null,
       a.attgenerated <> '' as is_generated,
       a.attidentity::text as identity,
       (select d.adbin is not null and a.attgenerated = ''
        from pg_catalog.pg_attrdef d where d.adrelid = a.attrelid and d.adnum = a.attnum) is true as has_default,
       (select pg_catalog.pg_get_expr(d.adbin, d.adrelid)
        from pg_catalog.pg_attrdef d where d.adrelid = a.attrelid and d.adnum = a.attnum) as default_expression,
       cn.nspname::text as collation_schema,
       co.collname::text as collation_name
from pg_catalog.pg_attribute a
left join pg_catalog.pg_collation co on co.oid = a.attcollation
left join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
cross join lateral (
    with recursive up(type_oid, typmod, depth) as (
        select a.atttypid, a.atttypmod, 0
        union all
        select t.typbasetype, t.typtypmod, up.depth + 1
        from up join pg_catalog.pg_type t on t.oid = up.type_oid and t.typtype = 'd'
    )
    select up.type_oid, up.typmod, tn.nspname::text as type_schema, t.typname::text as type_name,
           t.typtype::text as type_kind,
           coalesce(e.typname in ('varchar', 'bpchar', 'bit', 'varbit'), false) as element_is_varlength
    from up
    join pg_catalog.pg_type t on t.oid = up.type_oid
    join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
    left join pg_catalog.pg_type e on e.oid = t.typelem and t.typcategory = 'A'
    order by up.depth desc limit 1
) base
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
order by a.attnum
