-- Foreign keys of the shape that is in place which are still to be validated, as table and name.
-- $1 migration. Lock: none.
select pg_catalog.format('%I on %I.%I', d.name, d.schema_name, d.table_name) as shown
from pgrecast.migration m
join pgrecast.table_change t on t.migration_id = m.id
join pgrecast.dependent d on d.table_change_id = t.id
    and d.side = case m.phase when 'swapped' then 'new' when 'rolled_back' then 'original' end
where m.id = $1 and d.kind = 'foreign key' and d.validate_statement is not null and d.validated_at is null
order by d.id
