-- Properties that CREATE TABLE LIKE does not copy, as statements for the table of the same shape: statistics targets,
-- column options, table and column grants (those from default privileges are revoked first), comments on table, row
-- type, CHECK and NOT NULL constraints.
-- $1 oid of the original, $2 quoted name of the shadow, $3 oid of the shadow. Lock: none.
select statement from (
    select 1 as place, a.attnum::int8 as item,
           pg_catalog.format('alter table %s alter column %I set statistics %s', $2::text, a.attname, a.attstattarget)
               as statement
    from pg_catalog.pg_attribute a
    where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped and coalesce(a.attstattarget, -1) >= 0
    union all
    select 2, a.attnum,
           pg_catalog.format('alter table %s alter column %I set (%s)', $2::text, a.attname,
                             pg_catalog.string_agg(o.setting, ', '))
    from pg_catalog.pg_attribute a, pg_catalog.unnest(a.attoptions) o(setting)
    where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
      and o.setting not like 'pg_attver=%' -- maintained by the server for each column
    group by a.attnum, a.attname
    union all
    select 3, x.grantee::int8,
           pg_catalog.format('revoke all on table %s from %s', $2::text,
                             case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end)
    from (select distinct e.grantee from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) e
          where c.oid = $3 and e.grantee <> c.relowner) x
    union all
    -- Grants that default privileges have revoked from the owner.
    select 4, 0, pg_catalog.format('grant all on table %s to %I', $2::text, pg_catalog.pg_get_userbyid(c.relowner))
    from pg_catalog.pg_class c where c.oid = $3 and c.relacl is not null
    union all
    select 4, pg_catalog.row_number() over (),
           pg_catalog.format('grant %s on table %s to %s%s', x.privilege_type, $2::text,
                             case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
                             case when x.is_grantable then ' with grant option' else '' end)
    from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x
    where c.oid = $1 and x.grantee <> c.relowner
    union all
    select 5, a.attnum,
           pg_catalog.format('grant %s (%I) on table %s to %s%s', x.privilege_type, a.attname, $2::text,
                             case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
                             case when x.is_grantable then ' with grant option' else '' end)
    from pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) x
    where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
    union all
    select 6, 0, pg_catalog.format('comment on table %s is %L', $2::text, pg_catalog.obj_description($1, 'pg_class'))
    where pg_catalog.obj_description($1, 'pg_class') is not null
    union all
    select 7, c.oid::int8,
           pg_catalog.format('comment on constraint %I on %s is %L', c.conname, $2::text,
                             pg_catalog.obj_description(c.oid, 'pg_constraint'))
    from pg_catalog.pg_constraint c
    where c.conrelid = $1 and c.contype in ('c', 'n') -- NOT NULL has an entry since PostgreSQL 18
      and exists (select from pg_catalog.pg_constraint s where s.conrelid = $3 and s.conname = c.conname)
      and pg_catalog.obj_description(c.oid, 'pg_constraint') is not null
    union all
    select 8, 0, pg_catalog.format('comment on type %s is %L', $2::text, pg_catalog.obj_description(c.reltype, 'pg_type'))
    from pg_catalog.pg_class c where c.oid = $1 and pg_catalog.obj_description(c.reltype, 'pg_type') is not null
) s
order by place, item
