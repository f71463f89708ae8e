-- Seconds from the beginning of capture to the last chunk.
-- $1 table change. Lock: none.
select extract(epoch from max(c.copied_at) - max(e.at))::float8 as seconds
from pgrecast.chunk c
join pgrecast.part p on p.id = c.part_id
join pgrecast.table_change t on t.id = p.table_change_id
join pgrecast.event e on e.migration_id = t.migration_id and e.kind = 'phase' and e.message = 'capturing'
where t.id = $1
