-- Claims the whole part as one chunk, unless it is claimed already. $1 part. Lock: the row.
with claimed as (
    update pgrecast.part c set next_block = c.blocks
    from (select id, next_block from pgrecast.part where id = $1 for update) before
    where c.id = before.id and before.next_block = 0 and not exists (select from pgrecast.chunk k where k.part_id = $1)
    returning c.blocks as end_block
)
insert into pgrecast.chunk (part_id, first_block, end_block, next_block) select $1, 0, end_block, 0 from claimed
