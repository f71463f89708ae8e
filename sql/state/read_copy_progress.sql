-- The progress of the copy of a table, over all its parts. $1 table change. Lock: none.
select coalesce(sum(c.rows_copied), 0)::int8 as rows_copied,
       count(c.copied_at) as chunks_done, count(*) as chunks_claimed,
       coalesce(sum(c.next_block - c.first_block), 0)::int8 as blocks_done,
       (select coalesce(sum(p.blocks), 0)::int8 from pgrecast.part p where p.table_change_id = $1) as blocks
from pgrecast.chunk c join pgrecast.part p on p.id = c.part_id
where p.table_change_id = $1
