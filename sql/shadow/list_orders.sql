-- Indexes whose scan can continue from a position: btree indexes that are not partial, on NOT NULL columns, all
-- ascending, with the default comparison, of types whose values can be stored as text. Unique ones first, starting with
-- the primary key.
-- $1 oid of the table. Lock: none.
select c.relname::text as name, i.indisunique and i.indimmediate as is_unique,
       array(select a.attname::text from pg_catalog.unnest(i.indkey::int2[]) with ordinality k(attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where k.place <= i.indnkeyatts order by k.place) as columns,
       array(select pg_catalog.format_type(a.atttypid, a.atttypmod) from pg_catalog.unnest(i.indkey::int2[]) with ordinality k(attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where k.place <= i.indnkeyatts order by k.place) as types
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_am m on m.oid = c.relam
where i.indrelid = $1 and m.amname = 'btree' and i.indisvalid and i.indisready and i.indpred is null and i.indexprs is null
  and not exists (
      select from pg_catalog.generate_series(0, i.indnkeyatts - 1) n
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[n]
      join pg_catalog.pg_type t on t.oid = a.atttypid
      join pg_catalog.pg_opclass o on o.oid = i.indclass[n]
      left join pg_catalog.pg_collation l on l.oid = a.attcollation
      where i.indoption[n] <> 0 or not a.attnotnull or exists (
              select from pg_catalog.pg_constraint c where c.conrelid = a.attrelid and c.contype = 'n'
                and c.conkey = array[a.attnum] and not c.convalidated) or not o.opcdefault or i.indcollation[n] <> a.attcollation
         or not coalesce(l.collisdeterministic, true)
         -- Types whose text always means the same value. Floats (extra_float_digits) and arrays depend on settings.
         or not (t.typtype = 'e' or t.typnamespace = 'pg_catalog'::regnamespace and t.typname in (
             'int2', 'int4', 'int8', 'numeric', 'text', 'varchar', 'bpchar', 'name', 'uuid', 'bool', 'date', 'timestamp',
             'timestamptz', 'time', 'interval', 'bytea', 'bit', 'varbit', 'inet', 'cidr', 'macaddr', 'oid')))
order by i.indisunique desc, i.indisprimary desc, c.oid
