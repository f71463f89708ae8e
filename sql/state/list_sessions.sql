-- The recorded sessions of a migration.
-- $1 migration, or null for all migrations. Lock: none.
select pid, backend_start, role_oid from pgrecast.session where $1::uuid is null or migration_id = $1
