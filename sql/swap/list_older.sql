-- Sessions in this database that may still read by a snapshot older than a point: their transaction began
-- before it and their snapshot reaches back behind it. Of a session that this role may not look into,
-- nothing is known. Vacuum and replication senders do not read tables by name; our own sessions know better.
-- $1 transaction id at the point, $2 its time, $3 pids of our own sessions. Lock: none.
select a.pid, coalesce(a.application_name, '') as application, coalesce(a.usename, '')::text as role_name,
       coalesce(a.state, '') as state,
       coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start), 0)::float8 as transaction_seconds,
       a.query = '<insufficient privilege>' as is_hidden
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid() and a.usesysid is not null
  and a.pid <> all($3::int[])
  and a.backend_type is distinct from 'walsender'
  and (a.query = '<insufficient privilege>'
       or a.xact_start < $2::text::timestamptz
          and pg_catalog.age(a.backend_xmin) >= pg_catalog.age($1::text::xid8::xid))
order by a.xact_start nulls last
