-- Takes the record of a chunk that is to be copied; no row when it was copied meanwhile. Waits for an
-- orphan of a killed run that is still copying it, and then looks again.
-- $1 chunk. Lock: the row.
select id from pgrecast.chunk where id = $1 and copied_at is null for update
