-- The progress of an index build, and the transaction that it waits for.
-- $1 pid of the session that builds. Lock: none.
select p.phase, p.blocks_done, p.blocks_total, nullif(p.current_locker_pid, 0)::int4 as waits_for,
       coalesce(a.application_name, '') as application
from pg_catalog.pg_stat_progress_create_index p
left join pg_catalog.pg_stat_activity a on a.pid = nullif(p.current_locker_pid, 0)
where p.pid = $1
