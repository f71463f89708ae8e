-- The features of a table, by kind and name, that an event trigger, default privileges or a setting of the database can
-- add when the table is created or altered. Leaves out pgrecast's own triggers.
-- $1 oid of the table. Lock: none.
select f.kind, f.name, f.value from (
    select x.kind, '' as name, x.value
    from pg_catalog.pg_class c,
         lateral (values ('row security', c.relrowsecurity::text),
                         ('forced row security', c.relforcerowsecurity::text),
                         ('owner', pg_catalog.pg_get_userbyid(c.relowner)::text),
                         ('persistence', c.relpersistence::text),
                         ('replica identity', c.relreplident::text)) x(kind, value)
    where c.oid = $1
    union all
    select 'option', pg_catalog.split_part(o.setting, '=', 1), pg_catalog.substr(o.setting, pg_catalog.strpos(o.setting, '=') + 1)
    from pg_catalog.pg_class c, pg_catalog.unnest(c.reloptions) o(setting) where c.oid = $1
    union all
    select 'option', 'toast.' || pg_catalog.split_part(o.setting, '=', 1),
           pg_catalog.substr(o.setting, pg_catalog.strpos(o.setting, '=') + 1)
    from pg_catalog.pg_class c join pg_catalog.pg_class t on t.oid = c.reltoastrelid, pg_catalog.unnest(t.reloptions) o(setting)
    where c.oid = $1
    union all
    select 'policy', p.polname, '' from pg_catalog.pg_policy p where p.polrelid = $1
    union all
    select 'trigger', t.tgname, pg_catalog.concat_ws('|', t.tgfoid, t.tgtype, pg_catalog.encode(t.tgargs, 'hex'))
    from pg_catalog.pg_trigger t
    where t.tgrelid = $1 and not t.tgisinternal
      and t.tgname not in ('!pgrecast_capture', '!pgrecast_capture_truncate')
      and not pg_catalog.starts_with(t.tgname, 'pgrecast_guard')
    union all
    select 'rule', r.rulename, '' from pg_catalog.pg_rewrite r where r.ev_class = $1
    union all
    select 'publication', p.pubname, ''
    from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid where r.prrelid = $1
    union all
    -- The privileges without grant option, a slash, and those with it.
    select 'grant',
           case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
           pg_catalog.concat(
               pg_catalog.string_agg(x.privilege_type, ', ' order by x.privilege_type) filter (where not x.is_grantable), '/',
               pg_catalog.string_agg(x.privilege_type, ', ' order by x.privilege_type) filter (where x.is_grantable))
    from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x
    where c.oid = $1 and x.grantee <> c.relowner
    group by x.grantee
    union all
    select 'parent', i.inhparent::regclass::text, '' from pg_catalog.pg_inherits i where i.inhrelid = $1
    union all
    select 'child', i.inhrelid::regclass::text, '' from pg_catalog.pg_inherits i where i.inhparent = $1
    union all
    select 'column', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
    from pg_catalog.pg_attribute a where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
    union all
    select 'index', c.relname, ''
    from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
    where i.indrelid = $1 and not exists (select from pg_catalog.pg_constraint k where k.conindid = i.indexrelid and k.conrelid = $1)
    union all
    select 'constraint', c.conname, '' from pg_catalog.pg_constraint c
    where c.conrelid = $1 and c.contype in ('c', 'p', 'u', 'x', 'f')
      and c.conparentid = 0 -- without the constraints that a foreign key to a partitioned table has for each partition
    union all
    select 'statistics', s.stxname, '' from pg_catalog.pg_statistic_ext s where s.stxrelid = $1
) f
order by f.kind, f.name
