-- The dependents of one shape, the largest first.
-- $1 table change, $2 side. Lock: none.
select id, kind, name, schema_name, table_name, other_schema, other_table, role_name, create_statements,
       drop_statement, validate_statement, bytes, build_statements, refuses_rows, made_at is not null as is_made,
       validated_at is not null as is_validated
from pgrecast.dependent where table_change_id = $1 and side = $2
order by bytes desc, id
