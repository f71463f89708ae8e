-- Rights that the connecting role and the owner of the table lack, each with the statement that grants it.
-- $1 oid of the table; {set_role} set_role.sql. Lock: none.
with t as (
    select c.oid, c.relowner, c.relnamespace, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) as owner,
           pg_catalog.quote_ident(session_user) as me,
           pg_catalog.current_setting('server_version_num')::int >= 160000 as has_options
    from pg_catalog.pg_class c where c.oid = $1
)
select case when pg_catalog.pg_has_role(session_user, relowner, 'member')
            then 'this role is a member of the role that owns the table, and may not SET ROLE to it'
            else 'not a member of the role that owns the table' end as missing,
       pg_catalog.format('grant %s to %s%s;', owner, me,
           case when pg_catalog.pg_has_role(session_user, relowner, 'member') then ' with set true' end) as remedy
from t where not pg_catalog.pg_has_role(session_user, relowner, {set_role})
union all
select 'this role does not inherit the rights of the role that owns the table, by which it reads the state',
       case when has_options then pg_catalog.format('grant %s to %s with inherit true;', owner, me)
            else pg_catalog.format('alter role %s inherit;', me) end
from t
where pg_catalog.pg_has_role(session_user, relowner, 'member') and not pg_catalog.pg_has_role(current_user, relowner, 'usage')
  and not exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                  where n.nspname = 'pgrecast' and c.relname = 'migration'
                    and pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select'))
union all
select 'the table''s owner may not create schemas in this database',
       pg_catalog.format('grant create on database %I to %s;', pg_catalog.current_database(), owner)
from t where not pg_catalog.has_database_privilege(relowner, pg_catalog.current_database(), 'create')
union all
select 'the table''s owner may not create tables in the table''s schema',
       pg_catalog.format('grant usage, create on schema %I to %s;', n.nspname, owner)
from t join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where not (pg_catalog.has_schema_privilege(t.relowner, n.oid, 'create')
           and pg_catalog.has_schema_privilege(t.relowner, n.oid, 'usage'))
union all
select distinct 'the table''s owner may not create statistics in schema ' || n.nspname,
       pg_catalog.format('grant usage, create on schema %I to %s;', n.nspname, owner)
from t join pg_catalog.pg_statistic_ext s on s.stxrelid = t.oid
join pg_catalog.pg_namespace n on n.oid = s.stxnamespace and n.oid <> t.relnamespace
where not (pg_catalog.has_schema_privilege(t.relowner, n.oid, 'create')
           and pg_catalog.has_schema_privilege(t.relowner, n.oid, 'usage'))
union all
select 'the table''s owner does not own ' || con.conrelid::regclass::text || ', whose foreign key points here',
       -- Membership in a superuser's role is never suggested.
       case when exists (select from pg_catalog.pg_roles r where r.rolsuper and pg_catalog.pg_has_role(c.relowner, r.oid, 'member'))
            then pg_catalog.format('alter table %s owner to %s;', con.conrelid::regclass, owner)
            else pg_catalog.format('grant %I to %s%s;', pg_catalog.pg_get_userbyid(c.relowner), owner,
                case when has_options and pg_catalog.pg_has_role(t.relowner, c.relowner, 'member') then ' with inherit true' end) end
from t join pg_catalog.pg_constraint con on con.confrelid = t.oid and con.contype = 'f'
join pg_catalog.pg_class c on c.oid = con.conrelid
where not pg_catalog.pg_has_role(t.relowner, c.relowner, 'usage')
union all
select 'the table''s owner may not reference ' || con.confrelid::regclass::text,
       pg_catalog.format('grant references on table %s to %s;', con.confrelid::regclass, owner)
from t join pg_catalog.pg_constraint con on con.conrelid = t.oid and con.contype = 'f' and con.confrelid <> t.oid
where not pg_catalog.has_table_privilege(t.relowner, con.confrelid, 'references')
union all
select distinct 'the table''s owner may not use schema ' || n.nspname || ', which has a table that a foreign key connects with this one',
       pg_catalog.format('grant usage on schema %I to %s;', n.nspname, owner)
from t join pg_catalog.pg_constraint con on con.contype = 'f' and t.oid in (con.conrelid, con.confrelid)
join pg_catalog.pg_class c on c.oid in (con.conrelid, con.confrelid)
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.oid <> t.relnamespace
where not pg_catalog.has_schema_privilege(t.relowner, n.oid, 'usage')
union all
select 'the table''s owner has given away its own right to ' || pg_catalog.lower(d.privilege_type),
       pg_catalog.format('grant %s on table %s to %s;', pg_catalog.lower(d.privilege_type), t.oid::regclass, owner)
from t cross join pg_catalog.aclexplode(pg_catalog.acldefault('r', t.relowner)) d
where d.grantee = t.relowner
  and not exists (select from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x
                  where c.oid = t.oid and x.grantee = t.relowner and x.privilege_type = d.privilege_type)
  and exists (select from pg_catalog.pg_class c where c.oid = t.oid and c.relacl is not null)
union all
select 'the table''s owner may not use the schema pgrecast, in which the state is kept',
       pg_catalog.format('grant usage, create on schema pgrecast to %1$s; grant all on all tables in schema pgrecast to %1$s;',
                         owner)
from t join pg_catalog.pg_namespace n on n.nspname = 'pgrecast'
where not pg_catalog.has_schema_privilege(t.relowner, n.oid, 'create')
   or not pg_catalog.has_schema_privilege(t.relowner, n.oid, 'usage')
   or exists (
       select from pg_catalog.pg_class c
       where c.relnamespace = n.oid
         and c.relname in ('version', 'migration', 'session', 'table_change', 'part', 'mapping', 'key_column', 'dependent', 'step', 'chunk',
                           'segment', 'event')
         and not (pg_catalog.has_table_privilege(t.relowner, c.oid, 'select')
                  and (c.relname = 'version' or pg_catalog.has_table_privilege(t.relowner, c.oid, 'insert')
                                                and pg_catalog.has_table_privilege(t.relowner, c.oid, 'update')
                                                and pg_catalog.has_table_privilege(t.relowner, c.oid, 'delete'))))
