-- Whether the triggers of ours on a table are of this migration: a newer one may have taken the table on
-- since, and its capture is not this one's to drop.
-- $1 oid of the table, $2 names of this migration's functions. Lock: none.
select count(*) > 0 and count(*) filter (
           where t.tgname <> 'pgrecast_guard' and p.proname <> all ($2::text[])) = 0 as own
from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
where t.tgrelid = $1 and t.tgname in ('!pgrecast_capture', '!pgrecast_capture_truncate', 'pgrecast_guard')
