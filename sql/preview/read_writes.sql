-- The number of rows written to a table, and the seconds since its counters were reset.
-- $1 oid of the table. Lock: none.
select pg_catalog.pg_stat_get_tuples_inserted($1::oid) + pg_catalog.pg_stat_get_tuples_updated($1::oid)
           + pg_catalog.pg_stat_get_tuples_deleted($1::oid) as rows,
       extract(epoch from pg_catalog.clock_timestamp()
           - greatest(coalesce(d.stats_reset, pg_catalog.pg_postmaster_start_time()), pg_catalog.pg_postmaster_start_time()))::float8 as seconds
from pg_catalog.pg_stat_database d where d.datname = pg_catalog.current_database()
