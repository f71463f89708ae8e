-- Sessions in this database that may still use a snapshot older than a point: their transaction began before it and
-- their xmin is older. For sessions of other roles these values may be hidden. Vacuum, replication senders and our own
-- sessions are left out.
-- $1 transaction id at the point, $2 its time. Lock: none.
select a.pid, coalesce(a.application_name, '') as application, coalesce(a.usename, '')::text as role_name,
       coalesce(a.state, '') as state,
       coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start), 0)::float8 as transaction_seconds,
       a.query = '<insufficient privilege>' as is_hidden
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid() and a.usesysid is not null
  and not pg_catalog.starts_with(coalesce(a.application_name, ''), 'pgrecast ')
  and a.backend_type is distinct from 'walsender'
  and (a.query = '<insufficient privilege>'
       or a.xact_start < $2::text::timestamptz
          and pg_catalog.age(a.backend_xmin) >= pg_catalog.age($1::text::xid8::xid))
order by a.xact_start nulls last
