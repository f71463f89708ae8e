-- The fraction of rows with the most common value of a column, according to the statistics; 0 without statistics.
-- $1 oid of the table, $2 column. Lock: none.
select coalesce(pg_catalog.max(greatest(s.most_common_freqs[1], case when s.n_distinct > 0 then 1 / s.n_distinct else 0 end)), 0)::float8 as share
from pg_catalog.pg_stats s
join pg_catalog.pg_class c on c.relname = s.tablename
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = s.schemaname
where c.oid = $1 and s.attname = $2 and not s.inherited
