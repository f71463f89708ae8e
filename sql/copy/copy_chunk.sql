-- Copies the rows of a range of blocks.
-- {to}, {columns}, {values}, {source}; $1 first block, $2 the block after the last.
-- Lock: ACCESS SHARE on the original, ROW EXCLUSIVE on the shadow.
insert into {to} ({columns}) overriding system value
select {values} from {source} f
where f.tid >= pg_catalog.format('(%s,0)', $1::int8)::pg_catalog.tid
  and f.tid < pg_catalog.format('(%s,0)', $2::int8)::pg_catalog.tid
