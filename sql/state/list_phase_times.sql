-- How long it took to reach each phase from the one before.
-- $1 migration. Lock: none.
select message as phase,
       coalesce(extract(epoch from at - lag(at) over (order by id)), 0)::float8 as seconds
from pgrecast.event where migration_id = $1 and kind = 'phase' order by id
