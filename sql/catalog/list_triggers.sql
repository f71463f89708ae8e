-- The user's triggers on a table (not ours, not those of foreign keys).
-- $1 oid of the table. Lock: none.
select t.tgname::text as name,
       pg_catalog.pg_get_triggerdef(t.oid) as definition,
       t.tgenabled::text as enabled,
       pg_catalog.obj_description(t.oid, 'pg_trigger') as comment
from pg_catalog.pg_trigger t
where t.tgrelid = $1 and not t.tgisinternal
  and t.tgname not in ('!pgrecast_capture', '!pgrecast_capture_truncate') and not pg_catalog.starts_with(t.tgname, 'pgrecast_guard')
order by t.tgname
