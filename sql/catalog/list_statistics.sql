-- Extended statistics objects on a table. They have their own schema and do not follow SET SCHEMA of the table.
-- $1 oid of the table. Lock: none.
select n.nspname::text as schema_name,
       s.stxname::text as name,
       pg_catalog.pg_get_statisticsobjdef(s.oid) as definition,
       pg_catalog.pg_get_userbyid(s.stxowner)::text as owner,
       coalesce(s.stxstattarget, -1)::int4 as target,
       pg_catalog.obj_description(s.oid, 'pg_statistic_ext') as comment
from pg_catalog.pg_statistic_ext s
join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
where s.stxrelid = $1
order by s.stxname, n.nspname
