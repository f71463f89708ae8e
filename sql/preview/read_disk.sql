-- The path of a table's file, if this role may read it and the server is on this machine (connected by a Unix socket).
-- $1 oid of the table. Lock: none.
select coalesce(nullif(pg_catalog.pg_tablespace_location(coalesce(nullif(c.reltablespace, 0), d.dattablespace)), ''),
                (select s.setting from pg_catalog.pg_settings s where s.name = 'data_directory')) as path
from pg_catalog.pg_class c, pg_catalog.pg_database d
where c.oid = $1 and d.datname = pg_catalog.current_database() and pg_catalog.inet_server_addr() is null
