-- Records a session of a run.
-- $1 migration; $2, $3, $4 pid, start time and login role of its backend; $5 purpose.
-- Lock: none on the application's tables.
insert into pgrecast.session (migration_id, pid, backend_start, role_oid, purpose) values ($1, $2, $3, $4, $5) returning id
