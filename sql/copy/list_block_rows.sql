-- The rows of one block with their keys in readable form.
-- {source}, {from_key}; $1 block. Lock: ACCESS SHARE on the original.
select f.tid::text as tid, {from_key} as shown from {source} f
where f.tid >= pg_catalog.format('(%s,0)', $1::int8)::pg_catalog.tid
  and f.tid < pg_catalog.format('(%s,0)', $1::int8 + 1)::pg_catalog.tid
order by f.tid
