-- An object that is created after the shadow.
-- $1 table change, $2 side, $3 kind, $4 name, $5, $6 its table, $7, $8 the other table of a foreign key, $9 statements
-- that create it, $10 statement that drops it, $11 statement that validates it, $12 bytes, $13 how many of the first
-- statements only build, $14 whether rows can violate it, $15 the role that creates it. Lock: none.
insert into pgrecast.dependent (table_change_id, side, kind, name, schema_name, table_name, other_schema,
    other_table, create_statements, drop_statement, validate_statement, bytes, build_statements, refuses_rows, role_name)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
