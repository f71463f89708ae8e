-- Foreign keys of the table in place that are not validated yet, as table and name.
-- $1 migration, $2 side in place. Lock: none.
select pg_catalog.format('%I on %I.%I', d.name, d.schema_name, d.table_name) as shown
from pgrecast.table_change t
join pgrecast.dependent d on d.table_change_id = t.id and d.side = $2
where t.migration_id = $1 and d.kind = 'foreign key' and d.validate_statement is not null and d.validated_at is null
order by d.id
