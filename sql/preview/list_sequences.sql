-- The percentage of values that each sequence of a table has given out. It is 0 for an unused sequence. Sequences with
-- CYCLE are left out.
-- $1 oid of the table. Lock: none.
select n.nspname::text as schema_name, c.relname::text as name, a.attname::text as column_name,
       pg_catalog.round(100.0 * pg_catalog.abs(coalesce(p.last_value, s.seqstart)::numeric - s.seqstart)
           / greatest(1, case when s.seqincrement > 0
                              then least(s.seqmax, case a.atttypid when 'pg_catalog.int2'::regtype then 32767
                                                                   when 'pg_catalog.int4'::regtype then 2147483647
                                                                   else s.seqmax end)::numeric - s.seqstart
                              else s.seqstart::numeric - s.seqmin end))::int4 as percent
from pg_catalog.pg_depend d
join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_sequence s on s.seqrelid = c.oid
join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
left join pg_catalog.pg_sequences p on p.schemaname = n.nspname and p.sequencename = c.relname
where d.refobjid = $1 and d.refobjsubid > 0 and d.deptype in ('a', 'i') and not s.seqcycle
  and d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
order by 1, 2
