-- The parts of a stand-in for a referenced table: its columns, and the keys that a foreign key can reference, the
-- primary key first.
-- $1 oid of the table, $2 name of the role that will own the foreign key. Lock: none.
select n.nspname::text as schema_name,
       c.relname::text as table_name,
       c.relpersistence = 'u' as is_unlogged,
       pg_catalog.has_table_privilege($2, c.oid, 'references')
           or pg_catalog.has_any_column_privilege($2, c.oid, 'references') as may_reference,
       array(select pg_catalog.format('%I %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                 (select pg_catalog.format(' collate %I.%I', cn.nspname, o.collname)
                  from pg_catalog.pg_collation o join pg_catalog.pg_namespace cn on cn.oid = o.collnamespace
                  where o.oid = a.attcollation))
             from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns,
       array(select case when i.indisprimary then 'primary key' else 'unique' end || ' ('
                    || (select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by k.place)
                        from pg_catalog.unnest(i.indkey::int2[]) with ordinality k(attnum, place)
                        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                        where k.place <= i.indnkeyatts) || ')'
             from pg_catalog.pg_index i
             where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid
               and i.indpred is null and i.indexprs is null
             order by i.indisprimary desc, i.indexrelid) as keys
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = $1 and c.relkind in ('r', 'p')
