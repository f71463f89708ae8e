-- How a request for a lock stands, for `status` in another terminal.
-- $1 table changes, $2 attempts, $3 milliseconds that others may have queued behind us, $4 who was in the way.
-- Lock: ROW EXCLUSIVE on the state.
update pgrecast.table_change set lock_attempts = $2, lock_waited_ms = $3, lock_blockers = $4, lock_held_ms = null
where id = any($1)
