-- Migrations, the newest first. A run that has one holds its advisory lock, which ends with its session.
-- $1 open ones only. Lock: none.
select m.id, m.phase, m.created_at::text as begun_at, m.owner_role, m.settings, m.runner_pid,
       m.verified_rows, m.verified_differences, m.verified_at::text as verified_at,
       m.swap_xid, m.swapped_at::text as swapped_at,
       extract(epoch from pg_catalog.clock_timestamp() - m.swapped_at)::float8 as swapped_seconds_ago, m.lock_attempts, m.lock_held_ms, m.lock_waited_ms,
       m.lock_blockers, m.waiting_for, m.keys_replayed, m.rounds,
       m.error_sqlstate, m.error_message, m.error_state, m.error_hint, m.error_since::text as error_since,
       exists (select from pgrecast.step s join pgrecast.table_change c on c.id = s.table_change_id
               where c.migration_id = m.id) as needs_no_copy
from pgrecast.migration m
where not $1 or m.phase not in ('finished', 'aborted', 'rolled_back')
order by m.created_at desc, m.id
