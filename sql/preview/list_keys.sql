-- The keys of rows in a range of blocks that satisfy the condition.
-- {from_key}, {source}, {condition}; $1 first block, $2 the block after the last, $3 how many. Lock: ACCESS SHARE on
-- the original.
select {from_key} as shown from {source} f
where f.tid >= pg_catalog.format('(%s,0)', $1::int8)::pg_catalog.tid
  and f.tid < pg_catalog.format('(%s,0)', $2::int8)::pg_catalog.tid
  and ({condition})
limit $3
