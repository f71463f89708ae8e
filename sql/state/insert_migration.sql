-- A new migration, planned.
-- $1 id, $2 owner role, $3 settings. Lock: none on the application's tables.
insert into pgrecast.migration (id, phase, owner_role, settings) values ($1, 'planned', $2, $3)
