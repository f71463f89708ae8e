-- The properties of one table in pg_class and related catalogs.
-- $1 oid of the table. Lock: only those of the catalogs.
select c.oid,
       n.nspname::text as schema_name,
       c.relname::text as table_name,
       c.relkind::text as kind,
       c.relpersistence::text as persistence,
       pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
       am.amname::text as access_method,
       ts.spcname::text as tablespace,
       coalesce(c.reloptions, '{}')::text[] as options,
       coalesce(toast.reloptions, '{}')::text[] as toast_options,
       c.relreplident::text as replica_identity,
       c.relispartition as is_partition,
       c.reloftype <> 0 as is_typed,
       c.relrowsecurity as has_row_security,
       c.relforcerowsecurity as forces_row_security,
       (select o.rolsuper or o.rolbypassrls from pg_catalog.pg_roles o where o.oid = c.relowner)
           as owner_bypasses_row_security,
       c.relisshared or c.relnamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
           as is_system,
       -- never analyzed: estimated with the width that the planner assumes for its columns
       case when c.reltuples >= 0 then c.reltuples
            when c.relkind in ('r', 'm') then pg_catalog.pg_relation_size(c.oid) / (28 + (
                select coalesce(sum(case when a.attlen > 0 then a.attlen else 32 end), 0)
                from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped))
            else 0 end::float8 as rows_estimated,
       case when c.relkind in ('r', 'm') then pg_catalog.pg_table_size(c.oid) else 0 end as table_bytes,
       case when c.relkind in ('r', 'm') then pg_catalog.pg_indexes_size(c.oid) else 0 end as index_bytes,
       case when c.relkind in ('r', 'm')
            then pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint
            else 0 end as blocks,
       pg_catalog.pg_relation_filenode(c.oid) as filenode
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_am am on am.oid = c.relam
left join pg_catalog.pg_tablespace ts on ts.oid = c.reltablespace
left join pg_catalog.pg_class toast on toast.oid = c.reltoastrelid
where c.oid = $1
