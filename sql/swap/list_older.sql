-- Sessions in this database that may still use a snapshot older than a point: their xmin is older than all transactions
-- that were running at that time (as in a session that imported a snapshot, or exports one for a replication slot,
-- whenever its transaction began), or their transaction began before the point and their xmin is older. For sessions of
-- other roles these values may be hidden. Vacuum and our own sessions are left out.
-- $1 transaction id at the point, $2 its time, $3 the oldest transaction that was running then, or null if that is not
-- known, $4 whether standbys count: their feedback contains their xmin; $5 pids of our own sessions. Lock: none.
select a.pid, coalesce(a.application_name, '') as application, coalesce(a.usename, '')::text as role_name,
       coalesce(a.state, '') as state,
       coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start), 0)::float8 as transaction_seconds,
       a.query = '<insufficient privilege>' as is_hidden
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid() and a.usesysid is not null
  and a.pid <> all($5::int[])
  and (a.query = '<insufficient privilege>' and a.backend_type is distinct from 'walsender'
       or pg_catalog.age(a.backend_xmin) > pg_catalog.age($3::text::xid8::xid)
       or a.xact_start < $2::text::timestamptz
          and pg_catalog.age(a.backend_xmin) >= pg_catalog.age($1::text::xid8::xid))
union all
select r.pid, 'standby ' || coalesce(r.application_name, ''), coalesce(r.usename, '')::text, 'standby',
       coalesce(extract(epoch from pg_catalog.clock_timestamp() - r.reply_time), 0)::float8, false
from pg_catalog.pg_stat_replication r
where $4 and pg_catalog.age(r.backend_xmin) > pg_catalog.age($3::text::xid8::xid)
union all
select coalesce(s.active_pid, 0), 'standby at slot ' || s.slot_name, '', 'standby', 0, false
from pg_catalog.pg_replication_slots s
where $4 and s.active and s.slot_type = 'physical' and pg_catalog.age(s.xmin) > pg_catalog.age($3::text::xid8::xid)
order by 5 desc
