-- Sessions of one migration other than this one; ended when asked.
-- $1 beginning of their application_name, $2 whether to end them. Lock: none.
select count(*) as sessions,
       count(case when $2 then pg_catalog.pg_terminate_backend(a.pid) end) as ended
from pg_catalog.pg_stat_activity a
where a.pid <> pg_catalog.pg_backend_pid() and pg_catalog.starts_with(a.application_name, $1)
  and a.datname = pg_catalog.current_database()
