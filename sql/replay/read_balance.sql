-- The number of entries in the log, and by how many rows {from} grew since the last round according to these. NULL if
-- that is unknown: there is a TRUNCATE, or keys from an earlier round, or the table is UNLOGGED.
-- {log}, {keys}; $1 oid of {from}. Lock: none.
select count(*) as entries,
       case when exists (select from only {log}) or exists (select from {keys})
              or (select relpersistence <> 'p' from pg_catalog.pg_class where oid = $1) then null
       else count(*) filter (where o1 is not distinct from null)
            - count(*) filter (where n1 is not distinct from null) end as rows
from {log}
