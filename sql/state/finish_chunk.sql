-- Records the progress of a chunk, in the transaction that copied the last piece.
-- $1 chunk, $2 block after the last, $3 rows of this piece. Lock: the row.
update pgrecast.chunk set next_block = $2, rows_copied = rows_copied + $3,
    copied_at = case when $2 >= end_block then clock_timestamp() end
where id = $1
