-- Rules, policies, functions and publications that refer to one of the relations, each with the statements that create
-- it, alter it in place (NULL: it must be dropped and created again) and drop it. The search_path of the session should
-- be empty, because the texts depend on it.
-- {relations} their oids, an array; {publication_columns}, {publication_filter};
-- {set_grants}, {set_role} set_grants.sql, set_role.sql.
-- Lock: ACCESS SHARE on each relation while its text is read.
with target as (
    select 'pg_catalog.pg_class'::regclass::oid as classid, s.oid as objid, s.oid as relation
    from pg_catalog.unnest({relations}) s(oid)
    union all
    select 'pg_catalog.pg_type'::regclass, y.oid, y.typrelid from pg_catalog.pg_type y where y.typrelid = any ({relations})
    union all
    select 'pg_catalog.pg_type'::regclass, y.typarray, y.typrelid from pg_catalog.pg_type y
    where y.typrelid = any ({relations}) and y.typarray <> 0
), me as (
    select r.rolsuper from pg_catalog.pg_roles r where r.rolname = session_user
), hanging as (
    select d.classid, d.objid, bool_or(d.refclassid = 'pg_catalog.pg_type'::regclass) as by_type,
           array_agg(distinct t.relation) filter (where d.refclassid = 'pg_catalog.pg_type'::regclass) as types
    from pg_catalog.pg_depend d join target t on t.classid = d.refclassid and t.objid = d.refobjid
    group by d.classid, d.objid
)
select f.*, case when not me.rolsuper then (
           -- Its own schema, and those of the relations that it names.
           select pg_catalog.string_agg(pg_catalog.format('grant %s on schema %I to %I;', s.rights, s.nspname, f.owner),
                                        ' ' order by s.nspname)
           from (
               select n.oid, n.nspname, case f.kind when 'function' then 'usage, create' else 'usage' end as rights
               from pg_catalog.pg_namespace n where n.nspname = f.schema_name
               union
               select n.oid, n.nspname, 'usage' from pg_catalog.pg_depend d
               join pg_catalog.pg_class c on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid
                                          or d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid = c.reltype
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname <> f.schema_name
               where d.objid = f.oid and d.classid = case f.kind when 'function' then 'pg_catalog.pg_proc'::regclass
                   when 'rule' then 'pg_catalog.pg_rewrite'::regclass else 'pg_catalog.pg_policy'::regclass end) s
           where f.kind <> 'publication' and (
               not pg_catalog.has_schema_privilege(f.owner, s.oid, 'usage')
               or s.rights <> 'usage' and not pg_catalog.has_schema_privilege(f.owner, s.oid, 'create')))
       end as missing
from (
    -- Functions first: the others may call them.
    select 1 as place, 'function' as kind, h.objid as oid, h.types, n.nspname::text as schema_name, p.proname::text as name,
           null::text as table_schema, null::text as table_name, false as is_own,
           p.oid::regprocedure::text as shown,
           case when me.rolsuper then session_user else pg_catalog.pg_get_userbyid(p.proowner) end::text as role_name,
           pg_catalog.pg_get_userbyid(p.proowner)::text as owner,
           pg_catalog.pg_has_role(session_user, p.proowner, {set_role}) as may_act,
           case when p.prokind = 'a' then 'it is an aggregate'
                when exists (select from pg_catalog.pg_depend e where e.classid = h.classid and e.objid = h.objid
                             and e.deptype in ('e', 'x')) then 'it belongs to an extension, or depends on one'
                when exists (select from pg_catalog.aclexplode(p.proacl) x where x.grantor <> p.proowner)
                     then 'a privilege on it was granted by another role than its owner'
           end as obstacle,
           u.used_by, u.is_view as is_used_by_views_only,
           case when p.prokind = 'a' then '{}' else array[
               pg_catalog.pg_get_functiondef(p.oid),
               pg_catalog.format('alter routine %s owner to %I', p.oid::regprocedure, pg_catalog.pg_get_userbyid(p.proowner)),
               {set_grants}]
               || array(select pg_catalog.format('comment on routine %s is %L', p.oid::regprocedure, t.text)
                        from (select pg_catalog.obj_description(p.oid, 'pg_proc') as text) t where t.text is not null) end as make,
           case when not h.by_type then array[pg_catalog.pg_get_functiondef(p.oid)] end as change,
           pg_catalog.format('drop routine %s', p.oid::regprocedure) as drop
    from hanging h
    join pg_catalog.pg_proc p on h.classid = 'pg_catalog.pg_proc'::regclass and p.oid = h.objid
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    cross join me
    left join lateral (
        select pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) as used_by,
               w.rulename is not distinct from '_RETURN' as is_view
        from pg_catalog.pg_depend d
        left join pg_catalog.pg_rewrite w on d.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = d.objid
        where d.refclassid = h.classid and d.refobjid = h.objid
        order by 2 limit 1
    ) u on true
    union all
    select 2, 'rule', w.oid, null, n.nspname::text, w.rulename::text, n.nspname::text, c.relname::text, c.oid = any ({relations}),
           pg_catalog.format('%I on %I.%I', w.rulename, n.nspname, c.relname),
           case when me.rolsuper then session_user else pg_catalog.pg_get_userbyid(c.relowner) end::text,
           pg_catalog.pg_get_userbyid(c.relowner)::text,
           pg_catalog.pg_has_role(session_user, c.relowner, {set_role}),
           null, null, false,
           array[pg_catalog.rtrim(pg_catalog.pg_get_ruledef(w.oid), ';')]
           || case w.ev_enabled
                  when 'D' then array[pg_catalog.format('alter table %I.%I disable rule %I', n.nspname, c.relname, w.rulename)]
                  when 'R' then array[pg_catalog.format('alter table %I.%I enable replica rule %I', n.nspname, c.relname, w.rulename)]
                  when 'A' then array[pg_catalog.format('alter table %I.%I enable always rule %I', n.nspname, c.relname, w.rulename)]
                  else '{}' end
           || array(select pg_catalog.format('comment on rule %I on %I.%I is %L', w.rulename, n.nspname, c.relname, t.text)
                    from (select pg_catalog.obj_description(w.oid, 'pg_rewrite') as text) t where t.text is not null),
           case when c.oid <> all ({relations})
                then array[pg_catalog.regexp_replace(pg_catalog.rtrim(pg_catalog.pg_get_ruledef(w.oid), ';'), '^CREATE', 'CREATE OR REPLACE')] end,
           pg_catalog.format('drop rule %I on %I.%I', w.rulename, n.nspname, c.relname)
    from hanging h
    join pg_catalog.pg_rewrite w on h.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = h.objid and w.rulename <> '_RETURN'
    join pg_catalog.pg_class c on c.oid = w.ev_class
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    cross join me
    union all
    select 3, 'policy', p.oid, null, n.nspname::text, p.polname::text, n.nspname::text, c.relname::text, c.oid = any ({relations}),
           pg_catalog.format('%I on %I.%I', p.polname, n.nspname, c.relname),
           case when me.rolsuper then session_user else pg_catalog.pg_get_userbyid(c.relowner) end::text,
           pg_catalog.pg_get_userbyid(c.relowner)::text,
           pg_catalog.pg_has_role(session_user, c.relowner, {set_role}),
           null, null, false,
           array[pg_catalog.format('create policy %I on %I.%I as %s for %s to %s%s%s', p.polname, n.nspname, c.relname,
                     case when p.polpermissive then 'permissive' else 'restrictive' end,
                     case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
                     (select pg_catalog.string_agg(case o.role when 0 then 'public'
                             else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(o.role)) end, ', ' order by o.n)
                      from pg_catalog.unnest(p.polroles) with ordinality o(role, n)),
                     ' using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
                     ' with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')]
           || array(select pg_catalog.format('comment on policy %I on %I.%I is %L', p.polname, n.nspname, c.relname, t.text)
                    from (select pg_catalog.obj_description(p.oid, 'pg_policy') as text) t where t.text is not null),
           case when c.oid <> all ({relations})
                then array[pg_catalog.format('alter policy %I on %I.%I%s%s', p.polname, n.nspname, c.relname,
                     ' using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
                     ' with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')] end,
           pg_catalog.format('drop policy %I on %I.%I', p.polname, n.nspname, c.relname)
    from hanging h
    join pg_catalog.pg_policy p on h.classid = 'pg_catalog.pg_policy'::regclass and p.oid = h.objid
    join pg_catalog.pg_class c on c.oid = p.polrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    cross join me
    union all
    select 4, 'publication', r.oid, null, n.nspname::text, b.pubname::text, n.nspname::text, c.relname::text, true,
           pg_catalog.quote_ident(b.pubname), o.role_name::text, o.role_name::text, o.role_name is not null,
           null, null, false,
           array[pg_catalog.format('alter publication %I add table %s%I.%I%s%s', b.pubname,
                     case when c.relkind = 'p' then '' else 'only ' end, n.nspname, c.relname,
                     {publication_columns}, {publication_filter})],
           null,
           pg_catalog.format('alter publication %I drop table %I.%I', b.pubname, n.nspname, c.relname)
    from hanging h
    join pg_catalog.pg_publication_rel r on h.classid = 'pg_catalog.pg_publication_rel'::regclass and r.oid = h.objid
    join pg_catalog.pg_publication b on b.oid = r.prpubid
    join pg_catalog.pg_class c on c.oid = r.prrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    -- A role that owns both: https://www.postgresql.org/docs/current/sql-alterpublication.html
    cross join lateral (
        select case
            when pg_catalog.pg_has_role(c.relowner, b.pubowner, 'usage') then pg_catalog.pg_get_userbyid(c.relowner)
            when pg_catalog.pg_has_role(b.pubowner, c.relowner, 'usage')
                 and pg_catalog.pg_has_role(session_user, b.pubowner, {set_role}) then pg_catalog.pg_get_userbyid(b.pubowner)
            when pg_catalog.pg_has_role(session_user, c.relowner, 'usage')
                 and pg_catalog.pg_has_role(session_user, b.pubowner, 'usage') then session_user
        end as role_name
    ) o
) f
cross join me
order by f.place, f.oid
