-- The tables on which triggers of a migration are, whatever they are called by now. A newer migration of the
-- same table has functions of its own.
-- $1 names of the migration's functions, $2 the migration, whose guard tells its swap. Lock: none.
select distinct c.oid, n.nspname::text as schema_name, c.relname::text as table_name
from pg_catalog.pg_trigger t
join pg_catalog.pg_proc p on p.oid = t.tgfoid
join pg_catalog.pg_namespace pn on pn.oid = p.pronamespace and pn.nspname = 'pgrecast'
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal
  and (p.proname = any($1)
       or p.proname = 'guard' and exists (
           select from pgrecast.migration m
           where m.id = $2 and t.tgargs = pg_catalog.convert_to(m.swap_xid, 'SQL_ASCII') || '\x00'::bytea))
order by 2, 3
