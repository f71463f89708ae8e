-- Claims the next unclaimed blocks: the row lock on the part serializes claims. A chunk is only a fraction of the
-- remaining blocks, so that all sessions share them, and at least one piece of a chunk.
-- $1 part, $2 blocks wanted, $3 blocks of a piece, $4 into how many chunks to divide the rest. Lock: the row.
with claimed as (
    update pgrecast.part c
    set next_block = least(before.next_block + greatest(least($2::int8, (c.blocks - before.next_block) / $4::int8), $3::int8), c.blocks)
    from (select id, next_block from pgrecast.part where id = $1 for update) before
    where c.id = before.id and before.next_block < c.blocks
    returning before.next_block as first_block, c.next_block as end_block
)
insert into pgrecast.chunk (part_id, first_block, end_block, next_block)
select $1, first_block, end_block, first_block from claimed
returning id, next_block, end_block
