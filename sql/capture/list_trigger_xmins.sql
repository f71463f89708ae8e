-- The versions of the catalog rows of our triggers: disabling and enabling a trigger changes its xmin. Only triggers
-- that are ENABLE ALWAYS count. $1 oid of the table. Lock: none.
select array(select t.tgname::text || ' ' || t.xmin::text from pg_catalog.pg_trigger t
             where t.tgrelid = $1 and t.tgenabled = 'A'
               and t.tgname in ('!pgrecast_capture', '!pgrecast_capture_truncate')
             order by t.tgname) as xmins
