-- Who serves this session, and what it is.
-- Lock: none.
select pg_catalog.pg_backend_pid() as pid,
       pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version
