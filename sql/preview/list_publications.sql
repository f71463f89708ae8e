-- Publications that publish a table, by name, by schema or with all tables.
-- $1 oid of the table. Lock: none.
select distinct p.pubname::text as name from pg_catalog.pg_publication p
join pg_catalog.pg_publication_tables t on t.pubname = p.pubname
join pg_catalog.pg_class c on c.oid = $1
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where t.schemaname = n.nspname and t.tablename = c.relname
order by 1
