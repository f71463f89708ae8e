-- Views that read one of the relations directly, use its row type, or call a function that does.
-- $1 oids of the relations; {readers}. Lock: none.
select distinct n.nspname::text as schema_name, c.relname::text as name
from (select pg_catalog.unnest($1::oid[]) as source) s
cross join lateral ({readers}) r
join pg_catalog.pg_class c on c.oid = r.view
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
