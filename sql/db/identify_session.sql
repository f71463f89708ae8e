-- The backend of this session, and the version of the server.
-- Lock: none.
select pg_catalog.pg_backend_pid() as pid,
       pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version
