-- The rows of a range of blocks that do not convert: at most ten, and their total number.
-- {from_key}, {source}; $1 first block, $2 the block after the last. Lock: ACCESS SHARE on the original.
with probed as materialized (
    select {from_key} as shown, pg_temp.pgrecast_probe(f.tid) as message from {source} f
    where f.tid >= pg_catalog.format('(%s,0)', $1::int8)::pg_catalog.tid
      and f.tid < pg_catalog.format('(%s,0)', $2::int8)::pg_catalog.tid
)
select (select count(*) from probed where message is null) as rows,
       (select count(*) from probed where message is not null) as misfits,
       array(select shown || ' (' || message || ')' from probed where message is not null limit 10) as shown
