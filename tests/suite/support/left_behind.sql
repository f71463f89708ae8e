-- Objects that pgrecast must not leave in a database after a migration: one line of text each. Parameters: none. Locks:
-- none.
select format('schema %I', nspname) from pg_namespace where nspname like 'pgrecast\_%'
union all
select format('trigger %I on %s', t.tgname, t.tgrelid::regclass)
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_proc p on p.oid = t.tgfoid
join pg_namespace pn on pn.oid = p.pronamespace
where n.nspname <> 'pgrecast'
  and (t.tgname ~ '^!?pgrecast' or pn.nspname like 'pgrecast%' or p.proname like 'pgrecast%')
union all
select format('function %s', p.oid::regprocedure)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.proname like 'pgrecast%' and n.nspname <> 'pgrecast'
union all
select format('event trigger %I', evtname) from pg_event_trigger where evtname like 'pgrecast%'
union all
select format('table %s of ours in publication %I', r.prrelid::regclass, b.pubname)
from pg_publication_rel r
join pg_publication b on b.oid = r.prpubid
join pg_class c on c.oid = r.prrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname like 'pgrecast%'
union all
select format('constraint %I on %s', k.conname, k.conrelid::regclass)
from pg_constraint k join pg_namespace n on n.oid = k.connamespace
where k.conname like 'pgrecast%' and n.nspname <> 'pgrecast'
union all
select format('invalid index %s on %s', x.indexrelid::regclass, x.indrelid::regclass)
from pg_index x where not x.indisvalid
union all
select format('advisory lock %s %s %s held by pid %s', classid, objid, objsubid, pid)
from pg_locks
where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
union all
select format('prepared transaction %L', gid) from pg_prepared_xacts where database = current_database()
