-- Claims the next blocks that nobody has: the row lock on table_change makes claims one at a time.
-- $1 table change, $2 blocks wanted. Lock: the row.
with claimed as (
    update pgrecast.table_change c set next_block = least(c.next_block + $2, c.blocks)
    from (select id, next_block from pgrecast.table_change where id = $1 for update) before
    where c.id = before.id and before.next_block < c.blocks
    returning before.next_block as first_block, c.next_block as end_block
)
insert into pgrecast.chunk (table_change_id, first_block, end_block, next_block)
select $1, first_block, end_block, first_block from claimed
returning id, next_block, end_block
