-- The guard of this migration's swap, if it is still on the table; a newer migration's is another one.
-- The swap's time is that of its last statement but a few: a margin makes up for it.
-- $1 oid of the table, $2 migration. Lock: none.
select m.swap_xid, (m.swapped_at + interval '10 seconds')::text as swapped_at
from pg_catalog.pg_trigger t
join pgrecast.migration m on m.id = $2
where t.tgrelid = $1 and t.tgname = 'pgrecast_guard'
  and t.tgargs = pg_catalog.convert_to(m.swap_xid, 'SQL_ASCII') || '\x00'::bytea
