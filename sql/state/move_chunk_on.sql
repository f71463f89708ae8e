-- Records the progress of a chunk that is copied in an order, in the transaction that copied the rows. Blocks only show
-- progress.
-- $1 chunk, $2 position, $3 rows read and $4 copied, $5 estimated total rows, $6 whether it was the last. Lock: the
-- row.
update pgrecast.chunk set position = $2, rows_read = rows_read + $3, rows_copied = rows_copied + $4,
    next_block = case when $6 then end_block
                      else least(greatest(end_block - 1, 0), (end_block * (rows_read + $3)::float8 / greatest($5::int8, 1))::int8) end,
    copied_at = case when $6 then clock_timestamp() end
where id = $1
