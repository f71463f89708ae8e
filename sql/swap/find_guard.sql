-- Whether the guard of this swap still exists on the table; a newer migration has another one.
-- $1 oid of the table, $2 the swap's xid. Lock: none.
select exists (
    select from pg_catalog.pg_trigger t
    where t.tgrelid = $1 and t.tgname = 'pgrecast_guard'
      and t.tgargs = pg_catalog.convert_to($2, 'SQL_ASCII') || '\x00'::bytea) as is_there
