-- Constraints of a table, and foreign keys that reference it, whose internal triggers were disabled or set to another
-- mode (ALTER TABLE .. DISABLE TRIGGER ALL). The catalog stores that with the triggers.
-- $1 oid of the table. Lock: none.
select distinct con.conname::text as constraint_name, t.tgrelid::regclass::text as table_name
from pg_catalog.pg_constraint con
join pg_catalog.pg_trigger t on t.tgconstraint = con.oid and t.tgisinternal
where (con.conrelid = $1 or con.confrelid = $1) and t.tgenabled <> 'O'
order by 1, 2
