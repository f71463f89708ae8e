-- Properties of user tables in the catalog that pg_dump does not show, or shows only in part: one line of text each.
-- Parameters: none; %user_schemas% is a condition on pg_namespace n. Locks: none.
with relation as (
    select c.*, format('%I.%I', n.nspname, c.relname) as shown
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where %user_schemas%
)
select format(
    'relation %s | kind %s, persistence %s, access method %s, replica identity %s, row security %s %s, options %s, toast options %s, tablespace %s, partition of %s, owner %s, grants %s',
    r.shown, r.relkind, r.relpersistence, (select amname from pg_am where oid = r.relam), r.relreplident,
    r.relrowsecurity, r.relforcerowsecurity,
    (select array_agg(o order by o) from unnest(r.reloptions) o),
    (select array_agg(o order by o) from pg_class t, unnest(t.reloptions) o where t.oid = r.reltoastrelid),
    r.reltablespace,
    (select array_agg(inhparent::regclass::text order by inhseqno) from pg_inherits where inhrelid = r.oid),
    r.relowner::regrole,
    (select array_agg(a::text order by a::text)
     from unnest(coalesce(r.relacl, acldefault(case r.relkind when 'S' then 's' else 'r' end::"char", r.relowner))) a))
from relation r
where r.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
union all
-- Positions without gaps: numbers of dropped columns are not part of the definition.
select format(
    'column %s.%I | position %s, type %s, not null %s, default %s, generated %s, identity %s, statistics %s, options %s, storage %s, compression %s, collation %s, grants %s',
    r.shown, a.attname, row_number() over (partition by r.oid order by a.attnum),
    format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
    a.attgenerated, a.attidentity, a.attstattarget,
    -- pg_attver is the server's own mark (15.20), new with each change of the column; pg_dump leaves it out too.
    (select array_agg(o order by o) from unnest(a.attoptions) o where o not like 'pg\_attver=%'), a.attstorage, a.attcompression,
    a.attcollation::regcollation,
    (select array_agg(x::text order by x::text) from unnest(a.attacl) x))
from relation r
join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
where r.relkind in ('r', 'p', 'v', 'm', 'f')
union all
select format(
    'index %s of %s | %s, unique %s, primary %s, immediate %s, valid %s, ready %s, clustered %s, replica identity %s, options %s, statistics %s',
    r.shown, x.indrelid::regclass, pg_get_indexdef(r.oid), x.indisunique, x.indisprimary, x.indimmediate,
    x.indisvalid, x.indisready, x.indisclustered, x.indisreplident,
    (select array_agg(o order by o) from unnest(r.reloptions) o),
    (select array_agg(a.attstattarget order by a.attnum) from pg_attribute a where a.attrelid = r.oid))
from relation r join pg_index x on x.indexrelid = r.oid
union all
select format(
    'constraint %I on %s | %s, type %s, validated %s, deferrable %s %s, local %s, inherited %s, no inherit %s, index %s',
    k.conname, r.shown, pg_get_constraintdef(k.oid), k.contype, k.convalidated, k.condeferrable, k.condeferred,
    k.conislocal, k.coninhcount,
    -- Not part of a foreign key's definition; depends on how a partition got its key.
    k.connoinherit and k.contype <> 'f', nullif(k.conindid, 0)::regclass)
from relation r join pg_constraint k on k.conrelid = r.oid
union all
-- The names of foreign key triggers contain oids: the constraint's name is used instead.
select format(
    'trigger %s on %s | %s, enabled %s',
    case when t.tgisinternal then 'of ' || k.conname || ' ' || p.proname else quote_ident(t.tgname) end,
    r.shown,
    case when t.tgisinternal then 'internal' else pg_get_triggerdef(t.oid) end, t.tgenabled)
from relation r
join pg_trigger t on t.tgrelid = r.oid
join pg_proc p on p.oid = t.tgfoid
left join pg_constraint k on k.oid = t.tgconstraint
where t.tgname !~ '^!?pgrecast_'
union all
select format('rule %I on %s | %s, enabled %s', w.rulename, r.shown, pg_get_ruledef(w.oid), w.ev_enabled)
from relation r join pg_rewrite w on w.ev_class = r.oid
union all
select format('policy %I on %s | %s %s roles %s using %s check %s', p.polname, r.shown, p.polcmd, p.polpermissive,
    (select array_agg(case o when 0 then 'public' else o::regrole::text end order by o) from unnest(p.polroles) o),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
from relation r join pg_policy p on p.polrelid = r.oid
union all
select format('statistics %I.%I on %s | %s, owner %s, target %s', n.nspname, s.stxname, r.shown,
    pg_get_statisticsobjdef(s.oid), s.stxowner::regrole, s.stxstattarget)
from relation r
join pg_statistic_ext s on s.stxrelid = r.oid
join pg_namespace n on n.oid = s.stxnamespace
union all
select format('publication %I of %s | columns %s, where %s', b.pubname, r.shown, to_jsonb(p) ->> 'prattrs', (select to_jsonb(t) ->> 'rowfilter' from pg_publication_tables t where t.pubname = b.pubname and format('%I.%I', t.schemaname, t.tablename)::regclass = p.prrelid))
from relation r
join pg_publication_rel p on p.prrelid = r.oid
join pg_publication b on b.oid = p.prpubid
union all
select format('owned sequence %s | by %s.%I', r.shown, d.refobjid::regclass, a.attname)
from relation r
join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = r.oid
    and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')
join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where r.relkind = 'S'
union all
select format('sequence %s | type %s, start %s, increment %s, min %s, max %s, cache %s, cycle %s', r.shown,
    s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
from relation r join pg_sequence s on s.seqrelid = r.oid
union all
select format('comment on %s %s | %s', r.shown, coalesce(quote_ident(a.attname), ''), d.description)
from relation r
join pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = r.oid
left join pg_attribute a on a.attrelid = r.oid and a.attnum = d.objsubid and d.objsubid > 0
union all
select format('comment on the row type of %s | %s', r.shown, d.description)
from relation r join pg_description d on d.classoid = 'pg_type'::regclass and d.objoid = r.reltype
union all
select format('function %s | %s, owner %s, grants %s', p.oid::regprocedure, pg_get_functiondef(p.oid), p.proowner::regrole,
    (select array_agg(a::text order by a::text) from unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a))
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where %user_schemas% and p.prokind <> 'a'
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
