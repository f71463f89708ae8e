-- By how many rows {from} grew since the last round, as the log says. NULL when it can not be said: a
-- TRUNCATE or keys of before are among them, or the table is one that a crash empties.
-- {log}, {keys}; $1 oid of {from}. Lock: none.
select case when exists (select from {keys})
              or exists (select from {log} where o1 is not distinct from null and n1 is not distinct from null)
              or (select relpersistence <> 'p' from pg_catalog.pg_class where oid = $1) then null
       else (select count(*) filter (where o1 is not distinct from null)
                    - count(*) filter (where n1 is not distinct from null) from {log}) end as rows
