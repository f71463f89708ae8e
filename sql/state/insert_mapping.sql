-- One output of one level of a mapping.
-- $1 table change, $2 direction, $3 level, $4 ordinal, $5 name, $6 expression, $7 column of the from
-- table, $8 where the value comes from. Lock: none.
insert into pgrecast.mapping (table_change_id, direction, level, ordinal, name, expression, from_column, origin)
values ($1, $2, $3, $4, $5, $6, $7, $8)
