-- A session of a run.
-- $1 migration; $2, $3, $4 pid, start and login role of its backend; $5 what it is for. Lock: none on the application's tables.
insert into pgrecast.session (migration_id, pid, backend_start, role_oid, purpose) values ($1, $2, $3, $4, $5) returning id
