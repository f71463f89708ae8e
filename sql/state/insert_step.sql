-- A step of a change without a copy.
-- $1 table change, $2 ordinal, $3 how, $4 lock mode, $5 and $6 other tables to lock before and after the table (schema,
-- name, schema, name, ..), $7 index or constraint that it creates, $8 oid of the index that it drops, $9 statements.
-- Lock: none.
insert into pgrecast.step (table_change_id, ordinal, how, lock_mode, locked_before, locked_after, object_name, object_oid, statements)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
