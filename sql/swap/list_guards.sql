-- The tables that have a guard of this swap: the table that was swapped, and the tables that reference it. The guard of
-- a later swap has another argument.
-- $1 schema and $2 name of the guard's function, $3 the swap's xid. Lock: none.
select c.oid, n.nspname::text as schema_name, c.relname::text as table_name, t.tgname::text as trigger_name
from pg_catalog.pg_trigger t
join pg_catalog.pg_proc p on p.oid = t.tgfoid and p.proname = $2
join pg_catalog.pg_namespace pn on pn.oid = p.pronamespace and pn.nspname = $1
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal and t.tgparentid = 0
  and t.tgargs = pg_catalog.convert_to($3, 'SQL_ASCII') || '\x00'::bytea
order by 2, 3
