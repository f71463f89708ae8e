-- Part of another statement: a block that sets the grants of a new object, and replaces those from default privileges
-- when it runs. NULL means default grants.
-- {what} word of GRANT, {catalog} with columns {prefix}owner and {prefix}acl, {named_by} the type for its name,
-- {acl_class} for acldefault(), {name}, {wanted} expressions. Lock: none.
pg_catalog.format($f$do $grants$
declare owner oid; acl aclitem[]; wanted aclitem[] := %2$L; x record;
begin
    select c.{prefix}owner, c.{prefix}acl into owner, acl from pg_catalog.{catalog} c where c.oid = %1$L::{named_by};
    if acl is not distinct from wanted then return; end if;
    for x in select distinct e.grantee from pg_catalog.aclexplode(coalesce(acl, pg_catalog.acldefault({acl_class}, owner))) e loop
        execute pg_catalog.format('revoke all on {what} %%s from %%s', %1$L,
            case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end);
    end loop;
    for x in select * from pg_catalog.aclexplode(case when wanted = '{}' then null else coalesce(wanted, pg_catalog.acldefault({acl_class}, owner)) end) loop
        execute pg_catalog.format('grant %%s on {what} %%s to %%s%%s', x.privilege_type, %1$L,
            case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
            case when x.is_grantable then ' with grant option' else '' end);
    end loop;
end $grants$$f$, {name}, {wanted})
