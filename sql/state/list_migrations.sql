-- Migrations, the newest first, each with the session that leads it or led it last, which may have ended.
-- $1 the id of one, or null for all; $2 phases to leave out. Lock: none.
select m.id, m.phase, m.created_at::text as begun_at, m.owner_role, m.settings,
       s.pid as leader_pid, s.backend_start as leader_start, s.role_oid as leader_role,
       m.swap_xid, m.swapped_at::text as swapped_at,
       extract(epoch from pg_catalog.clock_timestamp() - m.swapped_at)::float8 as swapped_seconds_ago, m.waiting_for,
       m.error_sqlstate, m.error_message, m.error_state, m.error_hint, m.error_since::text as error_since,
       exists (select from pgrecast.step s join pgrecast.table_change c on c.id = s.table_change_id
               where c.migration_id = m.id) as needs_no_copy
from pgrecast.migration m
left join pgrecast.session s on s.id = m.leader
where ($1::uuid is null or m.id = $1) and m.phase <> all($2::text[])
order by m.created_at desc, m.id
