-- Everything that a view has besides its query and clauses, as statements for the new view, in order. The statement for
-- grants replaces those from default privileges when it runs. (Rules are in list_others.sql.)
-- {set_grants} set_grants.sql; $1 oid of the view, $2 quoted name of the new view (triggers are printed with the old
-- name). Lock: none.
with v as (
    select c.oid, c.relkind, c.relowner, c.relacl, $2::text as name from pg_catalog.pg_class c where c.oid = $1
)
select statement from (
    select 1 as place, 0::int8 as item,
           pg_catalog.format('alter table %s owner to %I', v.name, pg_catalog.pg_get_userbyid(v.relowner)) as statement from v
    union all
    select 2, 0, {set_grants}
    from v
    union all
    select 3, a.attnum,
           pg_catalog.format('grant %s (%I) on table %s to %s%s', x.privilege_type, a.attname, v.name,
               case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
               case when x.is_grantable then ' with grant option' else '' end)
    from v join pg_catalog.pg_attribute a on a.attrelid = v.oid, pg_catalog.aclexplode(a.attacl) x
    union all
    select 4, d.adnum, pg_catalog.format('alter view %s alter column %I set default %s', v.name, a.attname,
                           pg_catalog.pg_get_expr(d.adbin, d.adrelid))
    from v join pg_catalog.pg_attrdef d on d.adrelid = v.oid
    join pg_catalog.pg_attribute a on a.attrelid = v.oid and a.attnum = d.adnum
    union all
    select 5, t.oid::int8, pg_catalog.pg_get_triggerdef(t.oid) from v
    join pg_catalog.pg_trigger t on t.tgrelid = v.oid and not t.tgisinternal
    union all
    select 6, t.oid::int8, pg_catalog.format('comment on trigger %I on %s is %L', t.tgname, v.name,
                               pg_catalog.obj_description(t.oid, 'pg_trigger'))
    from v join pg_catalog.pg_trigger t on t.tgrelid = v.oid and not t.tgisinternal
    where pg_catalog.obj_description(t.oid, 'pg_trigger') is not null
    union all
    -- Only for columns of a materialized view.
    select 7, a.attnum, pg_catalog.format('alter materialized view %s alter column %I %s', v.name, a.attname, s.setting)
    from v join pg_catalog.pg_attribute a on a.attrelid = v.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type y on y.oid = a.atttypid
    cross join lateral (
        select 'set statistics ' || a.attstattarget as setting where coalesce(a.attstattarget, -1) >= 0
        union all
        select 'set (' || pg_catalog.string_agg(o.option, ', ') || ')' from pg_catalog.unnest(a.attoptions) o(option)
        where o.option not like 'pg_attver=%' having count(*) > 0
        union all
        select 'set storage ' || case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'x' then 'extended' else 'main' end
        where a.attstorage <> y.typstorage
        union all
        select 'set compression ' || case a.attcompression when 'l' then 'lz4' else 'pglz' end where a.attcompression <> ''
    ) s
    where v.relkind = 'm'
    union all
    select 8, d.objsubid, case d.objsubid when 0 then pg_catalog.format('comment on %s %s is %L',
                               case v.relkind when 'm' then 'materialized view' else 'view' end, v.name, d.description)
               else pg_catalog.format('comment on column %s.%I is %L', v.name, a.attname, d.description) end
    from v join pg_catalog.pg_description d on d.classoid = 'pg_catalog.pg_class'::regclass and d.objoid = v.oid
    left join pg_catalog.pg_attribute a on a.attrelid = v.oid and a.attnum = d.objsubid and d.objsubid > 0
) s
order by place, item
