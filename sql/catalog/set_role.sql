-- Part of another statement: the privilege that pg_has_role must check for SET ROLE. Since PostgreSQL 16 a membership
-- can exclude it. Lock: none.
case when pg_catalog.current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end
