-- Migrations, the newest first. A run holds the advisory lock of its migration, which its session releases when it
-- ends.
-- $1 the id of one, or null for all; $2 phases to leave out. Lock: none.
select m.id, m.phase, m.created_at::text as begun_at, m.owner_role, m.settings, m.runner_pid,
       m.swap_xid, m.swapped_at::text as swapped_at,
       extract(epoch from pg_catalog.clock_timestamp() - m.swapped_at)::float8 as swapped_seconds_ago, m.waiting_for,
       m.error_sqlstate, m.error_message, m.error_state, m.error_hint, m.error_since::text as error_since,
       exists (select from pgrecast.step s join pgrecast.table_change c on c.id = s.table_change_id
               where c.migration_id = m.id) as needs_no_copy
from pgrecast.migration m
where ($1::uuid is null or m.id = $1) and m.phase <> all($2::text[])
order by m.created_at desc, m.id
