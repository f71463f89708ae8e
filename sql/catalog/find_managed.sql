-- The tables in which Citus and TimescaleDB list the tables that they manage, if the extensions are installed.
-- Lock: none.
select n.nspname::text as schema_name, c.relname::text as name
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r'
  and (c.relname = 'pg_dist_partition'
           and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'logicalrelid')
       or c.relname = 'hypertable' and n.nspname = '_timescaledb_catalog')
