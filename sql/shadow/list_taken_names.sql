-- Relations of the shadow whose names are taken in the original's schema by objects that will still exist when the
-- shadow moves there. Sequences of dropped serial columns move away with the original.
-- $1 oid of the shadow, $2 oid of the original, $3 oids of sequences that move with it. Lock: none.
select c.relname::text as name, c.relkind = 'S' as is_sequence
from pg_catalog.pg_class c
join pg_catalog.pg_class shadow on shadow.oid = $1
join pg_catalog.pg_class original on original.oid = $2
join pg_catalog.pg_class taken on taken.relnamespace = original.relnamespace and taken.relname = c.relname
where c.relnamespace = shadow.relnamespace and c.oid <> $1 and taken.oid <> $2
  and c.relkind in ('i', 'S', 'r')
  and taken.oid <> all ($3::oid[])
  and not exists (select from pg_catalog.pg_index i where i.indexrelid = taken.oid and i.indrelid = $2)
order by c.relname
