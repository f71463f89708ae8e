-- The versions of our triggers' catalog rows: whoever disables and enables one leaves another xmin.
-- Only triggers that fire always count. $1 oid of the table. Lock: none.
select array(select t.tgname::text || ' ' || t.xmin::text from pg_catalog.pg_trigger t
             where t.tgrelid = $1 and t.tgenabled = 'A'
               and t.tgname in ('!pgrecast_capture', '!pgrecast_capture_truncate')
             order by t.tgname) as xmins
