-- Chunks that an earlier run claimed and did not finish.
-- $1 part. Lock: none.
select id, next_block, end_block from pgrecast.chunk
where part_id = $1 and copied_at is null order by first_block
