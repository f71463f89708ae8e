-- Part of another statement: the privilege of pg_has_role by which the server allows SET ROLE. Since PostgreSQL 16 a
-- membership may be without it. Lock: none.
case when pg_catalog.current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end
