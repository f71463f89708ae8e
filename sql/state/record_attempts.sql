-- The statistics of a lock request, for `status` in another terminal.
-- $1 table changes, $2 attempts, $3 milliseconds that other sessions may have waited behind us, $4 the blocking
-- sessions. Lock: ROW EXCLUSIVE on the state.
update pgrecast.table_change set lock_attempts = $2, lock_waited_ms = $3, lock_blockers = $4, lock_held_ms = null
where id = any($1)
