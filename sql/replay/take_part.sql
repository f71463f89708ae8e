-- Takes the keys in a range of blocks of each segment from the set.
-- {keys}, {key_columns}; $1 first block, $2 the block after the last. REPEATABLE READ. Lock: none that matters.
delete from {keys}
where ctid >= pg_catalog.format('(%s,0)', $1::int8)::pg_catalog.tid
  and ctid < pg_catalog.format('(%s,0)', $2::int8)::pg_catalog.tid
returning {key_columns}
