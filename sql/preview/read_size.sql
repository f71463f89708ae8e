-- The size of a table and its indexes. $1 its name. Lock: none.
select pg_catalog.pg_table_size($1::text::pg_catalog.regclass) as table_bytes,
       pg_catalog.pg_indexes_size($1::text::pg_catalog.regclass) as index_bytes
