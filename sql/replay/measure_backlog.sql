-- The backlog: keys in the set and entries in the log, and the blocks of the largest segment of each.
-- {keys}, {log}; $1 and $2 their names. Lock: none.
with block as (select pg_catalog.current_setting('block_size')::int8 as size)
select (select count(*) from {keys}) as keys,
       (select count(*) from {log}) as entries,
       (select coalesce(max(pg_catalog.pg_relation_size(i.inhrelid) / size), 0)
        from pg_catalog.pg_inherits i, block where i.inhparent = $1::text::pg_catalog.regclass) as key_blocks,
       (select coalesce(max(pg_catalog.pg_relation_size(i.inhrelid) / size), 0)
        from pg_catalog.pg_inherits i, block where i.inhparent = $2::text::pg_catalog.regclass) as log_blocks
