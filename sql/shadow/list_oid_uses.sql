-- Parts of a table's definition that read tableoid or contain the table's own oid, such as 'table'::regclass. Names in
-- the definitions are qualified only if the session's search_path is empty.
-- $1 oid of the table. Lock: ACCESS SHARE on the table while a text is read.
with what as (
    -- The server's format of a constant of type regclass: the bytes of the value as signed numbers.
    -- `src/backend/nodes/outfuncs.c`
    select ':consttype 2205 [^{}]*:constvalue 4 \[ ' || pg_catalog.string_agg(
               (case when b > 127 then b - 256 else b end)::text, ' ' order by n) || ' ' as constant,
           ':varattno -6\M' as tableoid
    from (select n, ($1::oid::int8 >> (8 * n)) & 255 as b from pg_catalog.generate_series(0, 3) n) bytes
)
select case when a.attgenerated = '' then 'default' else 'generated column' end as kind, a.attname::text as name,
       pg_catalog.pg_get_expr(d.adbin, d.adrelid) as definition
from what, pg_catalog.pg_attrdef d
join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
where d.adrelid = $1 and (d.adbin::text ~ what.constant or a.attgenerated <> '' and d.adbin::text ~ what.tableoid)
union all
select 'check constraint', c.conname::text, pg_catalog.pg_get_constraintdef(c.oid)
from what, pg_catalog.pg_constraint c
where c.conrelid = $1 and c.contype = 'c' and (c.conbin::text ~ what.constant or c.conbin::text ~ what.tableoid)
union all
select 'index', i.indexrelid::regclass::text, pg_catalog.pg_get_indexdef(i.indexrelid)
from what, pg_catalog.pg_index i
where i.indrelid = $1 and pg_catalog.concat(i.indpred, i.indexprs) ~ what.constant
order by 1, 2
