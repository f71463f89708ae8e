-- The grants on a sequence, as statements for another sequence.
-- $1 oid of the sequence, $2 quoted name of the other. Lock: none.
select pg_catalog.format('grant %s on sequence %s to %s%s', x.privilege_type, $2::text,
           case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
           case when x.is_grantable then ' with grant option' else '' end) as statement
from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x
where c.oid = $1 and x.grantee <> c.relowner
