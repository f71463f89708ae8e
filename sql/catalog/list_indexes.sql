-- Every index of a table, with its constraint.
-- $1 oid of the table. Lock: none.
select i.indexrelid as oid,
       n.nspname::text as schema_name,
       c.relname::text as name,
       pg_catalog.pg_get_indexdef(i.indexrelid) as definition,
       i.indisunique as is_unique,
       i.indisvalid as is_valid,
       i.indimmediate as is_immediate,
       i.indisclustered as is_clustered,
       i.indisreplident as is_replica_identity,
       exists (select from rows from (pg_catalog.unnest(i.indkey::int2[]), pg_catalog.unnest(i.indcollation::oid[])) k(attnum, coll)
               join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
               join pg_catalog.pg_collation co on co.oid = a.attcollation
               where a.attcollation <> k.coll and k.coll <> 0 and not co.collisdeterministic) as is_stricter,
       i.indpred is not null as is_partial,
       i.indexprs is not null as has_expressions,
       con.contype::text as constraint_kind,
       pg_catalog.pg_get_constraintdef(con.oid) as constraint_definition,
       coalesce((pg_catalog.to_jsonb(con) ->> 'conperiod')::bool, false) as is_temporal, -- since PostgreSQL 18
       coalesce(con.condeferrable, false) as is_deferrable,
       coalesce(con.condeferred, false) as is_deferred,
       ts.spcname::text as tablespace,
       coalesce(c.reloptions, '{}')::text[] as options,
       pg_catalog.obj_description(c.oid, 'pg_class') as comment,
       pg_catalog.obj_description(con.oid, 'pg_constraint') as constraint_comment,
       array(select a.attnum from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and coalesce(a.attstattarget, -1) >= 0 order by a.attnum) as statistics_columns,
       array(select a.attstattarget::int4 from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and coalesce(a.attstattarget, -1) >= 0 order by a.attnum) as statistics_targets,
       array(select k.attnum from pg_catalog.unnest(i.indkey::int2[]) with ordinality k(attnum, place)
             where k.place <= i.indnkeyatts order by k.place) as key_columns,
       array(select pg_catalog.format('operator(%I.%s)', opn.nspname, op.oprname)
             from pg_catalog.unnest(i.indclass::oid[]) with ordinality k(opclass, place)
             join pg_catalog.pg_opclass oc on oc.oid = k.opclass
             join pg_catalog.pg_amop ao on ao.amopfamily = oc.opcfamily and ao.amopstrategy = 3
                  and ao.amoplefttype = oc.opcintype and ao.amoprighttype = oc.opcintype
             join pg_catalog.pg_operator op on op.oid = ao.amopopr
             join pg_catalog.pg_namespace opn on opn.oid = op.oprnamespace
             where k.place <= i.indnkeyatts order by k.place) as equality_operators,
       am.amname::text as access_method,
       i.indisprimary as is_primary,
       pg_catalog.pg_relation_size(c.oid) as bytes
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_am am on am.oid = c.relam
left join pg_catalog.pg_tablespace ts on ts.oid = c.reltablespace
left join pg_catalog.pg_constraint con on con.conindid = i.indexrelid and con.contype in ('p', 'u', 'x')
where i.indrelid = $1
order by c.relname
