-- What the role that connects and the role that owns the table still lack, each with the statement
-- that gives it.
-- $1 oid of the table. Lock: none.
with t as (
    select c.oid, c.relowner, c.relnamespace, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) as owner,
           pg_catalog.quote_ident(session_user) as me
    from pg_catalog.pg_class c where c.oid = $1
)
select 'not a member of the role that owns the table' as missing,
       pg_catalog.format('grant %s to %s;', owner, me) as remedy
from t where not pg_catalog.pg_has_role(session_user, relowner, 'member')
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
       -- A superuser's role is no right to give away.
       case when exists (select from pg_catalog.pg_roles r where r.rolsuper and pg_catalog.pg_has_role(c.relowner, r.oid, 'member'))
            then pg_catalog.format('alter table %s owner to %s;', con.conrelid::regclass, owner)
            else pg_catalog.format('grant %I to %s;', pg_catalog.pg_get_userbyid(c.relowner), owner) end
from t join pg_catalog.pg_constraint con on con.confrelid = t.oid and con.contype = 'f'
join pg_catalog.pg_class c on c.oid = con.conrelid
where not pg_catalog.pg_has_role(t.relowner, c.relowner, 'usage')
union all
select 'the table''s owner may not reference ' || con.confrelid::regclass::text,
       pg_catalog.format('grant references on table %s to %s;', con.confrelid::regclass, owner)
from t join pg_catalog.pg_constraint con on con.conrelid = t.oid and con.contype = 'f' and con.confrelid <> t.oid
where not pg_catalog.has_table_privilege(t.relowner, con.confrelid, 'references')
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
         and c.relname in ('version', 'migration', 'table_change', 'mapping', 'key_column', 'dependent', 'chunk', 'segment', 'event')
         and not (pg_catalog.has_table_privilege(t.relowner, c.oid, 'select')
                  and (c.relname = 'version' or pg_catalog.has_table_privilege(t.relowner, c.oid, 'insert')
                                                and pg_catalog.has_table_privilege(t.relowner, c.oid, 'update')
                                                and pg_catalog.has_table_privilege(t.relowner, c.oid, 'delete'))))
