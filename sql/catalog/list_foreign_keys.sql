-- Foreign keys from and to a table (one that references the table itself is listed once, as outgoing). Those that
-- partitions inherit are listed with the key of the partitioned table: leaf_.. are its leaf partitions.
-- $1 oid of the table. Lock: none.
select con.oid,
       con.conname::text as name,
       con.conrelid as child_oid,
       cn.nspname::text as child_schema,
       c.relname::text as child_name,
       c.relpersistence = 'u' as child_is_unlogged,
       pg_catalog.pg_get_userbyid(c.relowner)::text as child_owner,
       con.confrelid as parent_oid,
       pn.nspname::text as parent_schema,
       p.relname::text as parent_name,
       p.relpersistence = 'u' as parent_is_unlogged,
       array(select k.attnum from pg_catalog.unnest(con.conkey) with ordinality k(attnum, place)
             order by k.place) as child_numbers,
       array(select k.attnum from pg_catalog.unnest(con.confkey) with ordinality k(attnum, place)
             order by k.place) as parent_numbers,
       array(select a.attname::text from pg_catalog.unnest(con.conkey) with ordinality k(attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = con.conrelid and a.attnum = k.attnum
             order by k.place) as child_columns,
       array(select a.attname::text from pg_catalog.unnest(con.confkey) with ordinality k(attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = con.confrelid and a.attnum = k.attnum
             order by k.place) as parent_columns,
       array(select pg_catalog.format('%I %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                 (select pg_catalog.format(' collate %I.%I', n.nspname, o.collname)
                  from pg_catalog.pg_collation o join pg_catalog.pg_namespace n on n.oid = o.collnamespace
                  where o.oid = a.attcollation))
             from pg_catalog.unnest(con.conkey) with ordinality k(attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = con.conrelid and a.attnum = k.attnum
             order by k.place) as child_definitions,
       array(select pg_catalog.format('%I %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                 (select pg_catalog.format(' collate %I.%I', n.nspname, o.collname)
                  from pg_catalog.pg_collation o join pg_catalog.pg_namespace n on n.oid = o.collnamespace
                  where o.oid = a.attcollation))
             from pg_catalog.unnest(con.confkey) with ordinality k(attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = con.confrelid and a.attnum = k.attnum
             order by k.place) as parent_definitions,
       con.confmatchtype::text as match_type,
       con.confupdtype::text as on_update,
       con.confdeltype::text as on_delete,
       {delete_set_columns} as delete_set_columns,
       con.condeferrable as is_deferrable,
       con.condeferred as is_deferred,
       coalesce((pg_catalog.to_jsonb(con) ->> 'conperiod')::bool, false) as is_period, -- since PostgreSQL 18
       coalesce((pg_catalog.to_jsonb(con) ->> 'conenforced')::bool, true) as is_enforced, -- since PostgreSQL 18
       con.convalidated as is_valid,
       l.schemas as leaf_schemas, l.tables as leaf_tables, l.names as leaf_names,
       pg_catalog.obj_description(con.oid, 'pg_constraint') as comment
from pg_catalog.pg_constraint con
join pg_catalog.pg_class c on c.oid = con.conrelid
join pg_catalog.pg_namespace cn on cn.oid = c.relnamespace
join pg_catalog.pg_class p on p.oid = con.confrelid
join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
cross join lateral (
    with recursive below(oid, conrelid, conname) as (
        select k.oid, k.conrelid, k.conname from pg_catalog.pg_constraint k
        where k.conparentid = con.oid and k.conrelid <> con.conrelid
        union all
        select k.oid, k.conrelid, k.conname from below b
        join pg_catalog.pg_constraint k on k.conparentid = b.oid and k.conrelid <> b.conrelid
    )
    select coalesce(pg_catalog.array_agg(n.nspname::text order by b.oid), '{}') as schemas,
           coalesce(pg_catalog.array_agg(r.relname::text order by b.oid), '{}') as tables,
           coalesce(pg_catalog.array_agg(b.conname::text order by b.oid), '{}') as names
    from below b
    join pg_catalog.pg_class r on r.oid = b.conrelid and r.relkind = 'r'
    join pg_catalog.pg_namespace n on n.oid = r.relnamespace
) l
where con.contype = 'f' and con.conparentid = 0 and (con.conrelid = $1 or con.confrelid = $1)
order by con.conname, con.oid
