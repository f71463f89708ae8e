-- Says that a chunk was copied; in the transaction that copied it.
-- $1 chunk, $2 rows. Lock: the row.
update pgrecast.chunk set copied_at = clock_timestamp(), rows_copied = $2 where id = $1
