-- What a view has besides its query and options, as statements that give it to the view made anew, in order. What
-- default privileges gave the new one is taken away first. {view} its name for messages is read from the catalog.
-- $1 oid of the view. Lock: none.
with v as (
    select c.oid, c.relkind, c.relowner, c.relacl, c.relnamespace, pg_catalog.format('%I.%I', n.nspname, c.relname) as name
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = $1
)
select statement from (
    select 1 as place, g.grantee::int8 as item,
           pg_catalog.format('revoke all on table %s from %s', v.name, case g.grantee when 0 then 'public'
               else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) end) as statement
    from v, lateral (select distinct x.grantee from pg_catalog.pg_default_acl d, pg_catalog.aclexplode(d.defaclacl) x
                     where d.defaclrole = v.relowner and d.defaclobjtype = 'r' and d.defaclnamespace in (0, v.relnamespace)) g
    where g.grantee <> v.relowner
    union all
    select 2, pg_catalog.row_number() over (),
           pg_catalog.format('grant %s on table %s to %s%s', x.privilege_type, v.name,
               case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
               case when x.is_grantable then ' with grant option' else '' end)
    from v, pg_catalog.aclexplode(v.relacl) x where x.grantee <> v.relowner
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
    select 7, w.oid::int8, pg_catalog.rtrim(pg_catalog.pg_get_ruledef(w.oid), ';') from v
    join pg_catalog.pg_rewrite w on w.ev_class = v.oid and w.rulename <> '_RETURN'
    union all
    select 8, w.oid::int8, pg_catalog.format('comment on rule %I on %s is %L', w.rulename, v.name,
                               pg_catalog.obj_description(w.oid, 'pg_rewrite'))
    from v join pg_catalog.pg_rewrite w on w.ev_class = v.oid and w.rulename <> '_RETURN'
    where pg_catalog.obj_description(w.oid, 'pg_rewrite') is not null
    union all
    -- What only a materialized view's columns have.
    select 9, a.attnum, pg_catalog.format('alter materialized view %s alter column %I set statistics %s', v.name, a.attname, a.attstattarget)
    from v join pg_catalog.pg_attribute a on a.attrelid = v.oid and a.attnum > 0 and not a.attisdropped
    where v.relkind = 'm' and coalesce(a.attstattarget, -1) >= 0
    union all
    select 10, a.attnum, pg_catalog.format('alter materialized view %s alter column %I set storage %s', v.name, a.attname,
               case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'x' then 'extended' else 'main' end)
    from v join pg_catalog.pg_attribute a on a.attrelid = v.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type y on y.oid = a.atttypid
    where v.relkind = 'm' and a.attstorage <> y.typstorage
    union all
    select 11, d.objsubid, case d.objsubid when 0 then pg_catalog.format('comment on %s %s is %L',
                               case v.relkind when 'm' then 'materialized view' else 'view' end, v.name, d.description)
               else pg_catalog.format('comment on column %s.%I is %L', v.name, a.attname, d.description) end
    from v join pg_catalog.pg_description d on d.classoid = 'pg_catalog.pg_class'::regclass and d.objoid = v.oid
    left join pg_catalog.pg_attribute a on a.attrelid = v.oid and a.attnum = d.objsubid and d.objsubid > 0
) s
order by place, item
