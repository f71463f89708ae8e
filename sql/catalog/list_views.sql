-- Views and materialized views that read one of the relations, directly, through other views, or through functions of
-- their row types. The search_path of the session should be empty, because the texts depend on it.
-- {relations} their oids, an array; {readers}, {set_role} readers.sql, set_role.sql. Lock: ACCESS SHARE on each view while
-- its text is read.
with recursive found(view) as (
    select r.view from (select pg_catalog.unnest({relations}) as source) s
    cross join lateral ({readers}) r
    union
    select r.view from found f
    cross join lateral (select f.view as source) s
    cross join lateral ({readers}) r
)
select c.oid, n.nspname::text as schema_name, c.relname::text as name, c.relkind = 'm' as is_materialized,
       pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
       case when me.rolsuper then session_user else pg_catalog.pg_get_userbyid(c.relowner) end::text as role_name,
       pg_catalog.pg_has_role(session_user, c.relowner, {set_role}) as may_act,
       case when c.relpersistence = 't' then 'it is a temporary view of another session'
            when exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass
                         and d.objid = c.oid and d.deptype in ('e', 'x')) then 'it belongs to an extension, or depends on one'
            when exists (select from pg_catalog.pg_seclabel l where l.classoid = 'pg_catalog.pg_class'::regclass
                         and l.objoid = c.oid) then 'a security label is set on it'
            when exists (select from pg_catalog.pg_statistic_ext x where x.stxrelid = c.oid) then 'there are extended statistics on it'
       end as obstacle,
       case when not me.rolsuper then (
           -- Its own schema, and those of all that its query names.
           select pg_catalog.string_agg(pg_catalog.format('grant %s on schema %I to %I;', s.rights, s.nspname,
                                                          pg_catalog.pg_get_userbyid(c.relowner)), ' ' order by s.nspname)
           from (
               select n.oid, n.nspname, 'usage, create' as rights
               union
               select sn.oid, sn.nspname, 'usage' from pg_catalog.pg_rewrite w
               join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
                                           and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> c.oid
               join pg_catalog.pg_class k on k.oid = d.refobjid
               join pg_catalog.pg_namespace sn on sn.oid = k.relnamespace and sn.oid <> n.oid
               where w.ev_class = c.oid) s
           where not pg_catalog.has_schema_privilege(c.relowner, s.oid, 'usage')
              or s.rights <> 'usage' and not pg_catalog.has_schema_privilege(c.relowner, s.oid, 'create'))
       end as missing,
       pg_catalog.concat(
           case when c.relkind = 'm' then ' using ' || (select pg_catalog.quote_ident(a.amname) from pg_catalog.pg_am a where a.oid = c.relam) end,
           ' with (' || (select pg_catalog.string_agg(o.option, ', ') from (
               select pg_catalog.unnest(c.reloptions) as option
               union all
               select 'toast.' || pg_catalog.unnest(t.reloptions) from pg_catalog.pg_class t where t.oid = c.reltoastrelid) o) || ')',
           ' tablespace ' || (select pg_catalog.quote_ident(t.spcname) from pg_catalog.pg_tablespace t where t.oid = c.reltablespace)
       ) as clauses,
       c.relispopulated as is_populated,
       pg_catalog.rtrim(pg_catalog.pg_get_viewdef(c.oid), ';') as definition,
       array(select pg_catalog.concat_ws(' ', a.attname, a.atttypid, a.atttypmod, a.attcollation)
             from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             order by a.attnum) as columns,
       array(select distinct case d.refclassid when 'pg_catalog.pg_class'::regclass then d.refobjid
                 else (select e.typrelid from pg_catalog.pg_type y
                       join pg_catalog.pg_type e on e.oid in (y.oid, y.typelem) and e.typrelid <> 0
                       where y.oid = d.refobjid) end
             from pg_catalog.pg_rewrite r
             join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
             where r.ev_class = c.oid and r.rulename = '_RETURN'
               and d.refclassid in ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_type'::regclass)
             union
             -- by the signature of a function that it calls
             select e.typrelid
             from pg_catalog.pg_rewrite r
             join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
                 and d.refclassid = 'pg_catalog.pg_proc'::regclass
             join pg_catalog.pg_depend t on t.classid = d.refclassid and t.objid = d.refobjid
                 and t.refclassid = 'pg_catalog.pg_type'::regclass
             join pg_catalog.pg_type y on y.oid = t.refobjid
             join pg_catalog.pg_type e on e.oid in (y.oid, y.typelem) and e.typrelid <> 0
             where r.ev_class = c.oid and r.rulename = '_RETURN') as sources,
       array(select distinct d.refobjid
             from pg_catalog.pg_rewrite r
             join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
             where r.ev_class = c.oid and r.rulename = '_RETURN'
               and d.refclassid = 'pg_catalog.pg_proc'::regclass) as calls
from found v
join pg_catalog.pg_class c on c.oid = v.view
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = session_user) me
order by c.oid
