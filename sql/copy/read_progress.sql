-- How far the copy is. $1 table change. Lock: none.
select coalesce(sum(c.rows_copied), 0)::int8 as rows_copied,
       count(c.copied_at) as chunks_done, count(*) as chunks_claimed,
       coalesce(sum(c.next_block - c.first_block), 0)::int8 as blocks_done
from pgrecast.chunk c where c.table_change_id = $1
