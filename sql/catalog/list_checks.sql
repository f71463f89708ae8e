-- The CHECK constraints of a table, and its NOT NULL constraints that are NOT VALID (since PostgreSQL 18).
-- $1 oid of the table. Lock: none.
select con.conname::text as name,
       pg_catalog.pg_get_constraintdef(con.oid) as definition,
       case when con.contype = 'n' then con.conkey[1] end as not_null,
       con.convalidated as is_valid,
       pg_catalog.obj_description(con.oid, 'pg_constraint') as comment
from pg_catalog.pg_constraint con
where con.conrelid = $1 and (con.contype = 'c' or con.contype = 'n' and not con.convalidated)
order by con.conname
