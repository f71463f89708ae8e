-- Width and alignment of the columns of a table. The width of a column of variable length is unknown here; virtual
-- columns are not stored.
-- $1 oid of the table. Lock: none.
select a.attname::text as name, nullif(a.attlen, -1)::int4 as length,
       case a.attalign when 'd' then 8 when 'i' then 4 when 's' then 2 else 1 end as alignment
from pg_catalog.pg_attribute a
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
order by a.attnum
