-- How many rows of a table were written in a second, on average since the counters were set to zero.
-- $1 oid of the table. Lock: none.
select pg_catalog.pg_stat_get_tuples_inserted($1::oid) + pg_catalog.pg_stat_get_tuples_updated($1::oid)
           + pg_catalog.pg_stat_get_tuples_deleted($1::oid) as rows,
       extract(epoch from pg_catalog.clock_timestamp()
           - greatest(coalesce(d.stats_reset, pg_catalog.pg_postmaster_start_time()), pg_catalog.pg_postmaster_start_time()))::float8 as seconds
from pg_catalog.pg_stat_database d where d.datname = pg_catalog.current_database()
