-- A line of the history.
-- $1 migration, $2 kind, $3 message. Lock: none.
insert into pgrecast.event (migration_id, kind, message) values ($1, $2, $3)
