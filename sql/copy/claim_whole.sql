-- Claims the whole table as one chunk, unless that is done already. $1 table change. Lock: the row.
with claimed as (
    update pgrecast.table_change c set next_block = c.blocks
    from (select id, next_block from pgrecast.table_change where id = $1 for update) before
    where c.id = before.id and before.next_block = 0 and not exists (select from pgrecast.chunk k where k.table_change_id = $1)
    returning c.blocks as end_block
)
insert into pgrecast.chunk (table_change_id, first_block, end_block, next_block) select $1, 0, end_block, 0 from claimed
