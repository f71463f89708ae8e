-- The grants on a sequence, as statements for another sequence. They first revoke the grants that the other one has
-- from default privileges.
-- $1 oid of the sequence, $2 quoted name of the other. Lock: none.
select statement from (
    select 1 as place,
           pg_catalog.format('revoke all on sequence %s from %s', $2::text,
               case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end)
               as statement
    from (select distinct e.grantee from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) e
          where c.oid = pg_catalog.to_regclass($2::text) and e.grantee <> c.relowner) x
    union all
    select 2,
           pg_catalog.format('grant %s on sequence %s to %s%s', x.privilege_type, $2::text,
               case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
               case when x.is_grantable then ' with grant option' else '' end)
    from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x
    where c.oid = $1 and x.grantee <> c.relowner
) s
order by place
