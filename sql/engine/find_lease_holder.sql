-- The session that holds the lease of a table.
-- $1, $2 the two halves of the advisory lock's key. Lock: none.
select l.pid, coalesce(a.application_name, '') as application,
       coalesce(a.client_addr::text, 'the server itself') as client
from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.classid = $1 and l.objid = $2 and l.objsubid = 2
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
