-- One digest of a table's definition and everything attached to it, by content. It changes with any DDL that matters to
-- us and with nothing else (not with ANALYZE, VACUUM or TRUNCATE, nor with our own triggers). It can be read before and
-- under the lock. Empty if there is no such table.
-- $1 oid of the table. {views}, {others}: the objects that refer to it, list_views.sql and list_others.sql; {attached}:
-- the other objects that depend on it; {identity}: 1 if another object of the same content counts as a change, else 0.
-- Lock: ACCESS SHARE on each of those.
select coalesce(pg_catalog.md5(pg_catalog.string_agg(fact, E'\n' order by fact)), '') as fingerprint from (
    select 'table ' || pg_catalog.concat_ws('|', c.relname, c.relnamespace, c.relowner, c.relkind, c.relpersistence,
               c.reltablespace, c.relam, c.reloptions, c.relacl, c.relreplident, c.relrowsecurity,
               c.relforcerowsecurity, c.reloftype, c.relispartition) as fact
    from pg_catalog.pg_class c where c.oid = $1
    union all
    select 'toast ' || pg_catalog.concat_ws('|', t.reloptions)
    from pg_catalog.pg_class c join pg_catalog.pg_class t on t.oid = c.reltoastrelid where c.oid = $1
    union all
    select 'column ' || pg_catalog.concat_ws('|', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull,
               a.attidentity, a.attgenerated, a.attcollation, a.attstorage, a.attcompression,
               coalesce(a.attstattarget, -1), a.attacl,
               -- pg_attver is a counter of the server, not part of the definition
               array(select o from pg_catalog.unnest(a.attoptions) o where o not like 'pg_attver=%'),
               -- not pg_get_expr: it reads all columns for each
               (select pg_catalog.regexp_replace(d.adbin::text, ' :location -?[0-9]+', '', 'g')
                from pg_catalog.pg_attrdef d where d.adrelid = a.attrelid and d.adnum = a.attnum))
    from pg_catalog.pg_attribute a where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
    union all
    select 'constraint ' || pg_catalog.concat_ws('|', c.oid::int8 * {identity}, c.conname, c.conrelid, pg_catalog.pg_get_constraintdef(c.oid),
               c.convalidated, c.condeferrable, c.condeferred)
    from pg_catalog.pg_constraint c where c.conrelid = $1 or c.confrelid = $1
    union all
    select 'index ' || pg_catalog.concat_ws('|', i.indexrelid::int8 * {identity}, pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid,
               i.indisclustered, i.indisreplident, c.reltablespace,
               array(select coalesce(a.attstattarget, -1) from pg_catalog.pg_attribute a
                     where a.attrelid = i.indexrelid order by a.attnum))
    from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid where i.indrelid = $1
    union all
    select 'trigger ' || pg_catalog.concat_ws('|', t.oid::int8 * {identity}, pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled)
    from pg_catalog.pg_trigger t
    where t.tgrelid = $1 and not t.tgisinternal
      and t.tgname not in ('!pgrecast_capture', '!pgrecast_capture_truncate') and not pg_catalog.starts_with(t.tgname, 'pgrecast_guard')
    union all
    select 'constraint trigger ' || pg_catalog.concat_ws('|', t.tgconstraint::int8 * {identity}, t.tgtype, t.tgenabled)
    from pg_catalog.pg_trigger t where t.tgrelid = $1 and t.tgisinternal
    union all
    select 'statistics ' || pg_catalog.concat_ws('|', pg_catalog.pg_get_statisticsobjdef(s.oid), s.stxnamespace,
               s.stxowner, coalesce(s.stxstattarget, -1))
    from pg_catalog.pg_statistic_ext s where s.stxrelid = $1
    union all
    select 'inherits ' || pg_catalog.concat_ws('|', i.inhrelid, i.inhparent)
    from pg_catalog.pg_inherits i where i.inhrelid = $1 or i.inhparent = $1
    union all
    select 'referrer ' || pg_catalog.concat_ws('|', r.kind, r.shown, r.role_name, r.make, r.obstacle) from ({others}) r
    union all
    select 'attached ' || pg_catalog.concat_ws('|', a.kind, a.name) from ({attached}) a
    union all
    select 'view ' || pg_catalog.concat_ws('|', v.schema_name, v.name, v.owner, v.clauses, v.definition, c.relacl,
        array(select pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisclustered,
                  pg_catalog.obj_description(i.indexrelid, 'pg_class'),
                  array(select coalesce(a.attstattarget, -1) from pg_catalog.pg_attribute a where a.attrelid = i.indexrelid order by a.attnum))
              from pg_catalog.pg_index i where i.indrelid = v.oid order by i.indexrelid),
        array(select pg_catalog.concat_ws(' ', coalesce(a.attstattarget, -1), a.attstorage, a.attcompression,
                  array(select o from pg_catalog.unnest(a.attoptions) o where o not like 'pg_attver=%'))
              from pg_catalog.pg_attribute a where a.attrelid = v.oid and a.attnum > 0 and c.relkind = 'm' order by a.attnum),
        array(select s.oid from pg_catalog.pg_statistic_ext s where s.stxrelid = v.oid order by s.oid),
        (select t.reloptions from pg_catalog.pg_class t where t.oid = c.reltoastrelid),
        array(select a.attacl::text from pg_catalog.pg_attribute a where a.attrelid = v.oid and a.attnum > 0 order by a.attnum),
        array(select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d where d.adrelid = v.oid order by d.adnum),
        array(select pg_catalog.pg_get_triggerdef(t.oid) from pg_catalog.pg_trigger t where t.tgrelid = v.oid order by t.tgname),
        array(select pg_catalog.pg_get_ruledef(w.oid) from pg_catalog.pg_rewrite w where w.ev_class = v.oid order by w.rulename),
        array(select pg_catalog.concat_ws(' ', d.objsubid, d.description) from pg_catalog.pg_description d
              where d.classoid = 'pg_catalog.pg_class'::regclass and d.objoid = v.oid order by d.objsubid))
    from ({views}) v join pg_catalog.pg_class c on c.oid = v.oid
    union all
    select 'sequence ' || pg_catalog.concat_ws('|', d.objid::int8 * {identity}, d.refobjsubid, d.deptype, c.relname, c.relowner, c.relacl,
               s.seqtypid, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle)
    from pg_catalog.pg_depend d
    join pg_catalog.pg_class c on c.oid = d.objid
    join pg_catalog.pg_sequence s on s.seqrelid = d.objid
    where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
      and d.refobjid = $1 and d.refobjsubid > 0 and d.deptype in ('a', 'i')
    union all
    select 'comment or label ' || pg_catalog.concat_ws('|', t.classoid, t.objoid::int8 * {identity}, t.objsubid, t.provider, t.text)
    from (
        select classoid, objoid, objsubid, null as provider, description as text from pg_catalog.pg_description
        union all
        select classoid, objoid, objsubid, provider, label from pg_catalog.pg_seclabel
    ) t
    join (
        select 'pg_catalog.pg_class'::regclass as classid, $1::oid as objid
        union all
        select 'pg_catalog.pg_class'::regclass, i.indexrelid from pg_catalog.pg_index i where i.indrelid = $1
        union all
        select d.classid, d.objid from pg_catalog.pg_depend d
        where d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = $1
          and d.classid in ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_constraint'::regclass,
                            'pg_catalog.pg_trigger'::regclass, 'pg_catalog.pg_policy'::regclass,
                            'pg_catalog.pg_statistic_ext'::regclass)
        group by d.classid, d.objid
    ) o on o.classid = t.classoid and o.objid = t.objoid
) f
