-- Converts the rows of a range of blocks without writing them, and counts those that satisfy the conditions.
-- {outputs}, {counts}, {source}; $1 first block, $2 the block after the last. Lock: ACCESS SHARE on the original.
select count(*) as rows, coalesce(sum(pg_catalog.octet_length(row({outputs})::text)), 0)::int8 as bytes,
       array[{counts}]::int8[] as counts
from {source} f
where f.tid >= pg_catalog.format('(%s,0)', $1::int8)::pg_catalog.tid
  and f.tid < pg_catalog.format('(%s,0)', $2::int8)::pg_catalog.tid
