-- Publications FOR TABLES IN SCHEMA that publish the table (PostgreSQL 15 and later).
-- $1 oid of the table. Lock: none.
select 'publication' as kind, p.pubname::text || ' (for tables in schema)' as name
from pg_catalog.pg_publication_namespace pn
join pg_catalog.pg_publication p on p.oid = pn.pnpubid
join pg_catalog.pg_class c on c.relnamespace = pn.pnnspid
where c.oid = $1
order by 2
