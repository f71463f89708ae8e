-- A step of a change that needs no copy.
-- $1 table change, $2 ordinal, $3 how, $4 lock mode, $5 and $6 other tables to be locked before and after the table (schema,
-- name, schema, name, ..), $7 index or constraint, $8 statements, $9 what takes it back. Lock: none.
insert into pgrecast.step (table_change_id, ordinal, how, lock_mode, locked_before, locked_after, object_name, statements, undo)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
