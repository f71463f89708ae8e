-- The CHECK constraints of a table.
-- $1 oid of the table. Lock: none.
select con.conname::text as name,
       pg_catalog.pg_get_constraintdef(con.oid) as definition,
       con.convalidated as is_valid,
       pg_catalog.obj_description(con.oid, 'pg_constraint') as comment
from pg_catalog.pg_constraint con
where con.conrelid = $1 and con.contype = 'c'
order by con.conname
