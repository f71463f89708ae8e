-- The number of blocks of a table. $1 its oid. Lock: none.
select pg_catalog.pg_relation_size($1::oid) / pg_catalog.current_setting('block_size')::int8 as blocks
