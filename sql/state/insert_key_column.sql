-- One column of the shared key.
-- $1 table change, $2 ordinal, $3 column of the original, $4 of the new shape, $5, $6 their equality
-- operators. Lock: none.
insert into pgrecast.key_column (table_change_id, ordinal, original_column, new_column, original_operator,
    new_operator)
values ($1, $2, $3, $4, $5, $6)
