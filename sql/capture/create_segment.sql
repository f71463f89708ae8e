-- A segment of the log or of the key set: where new rows go from now on. Reads and deletes are done on {store},
-- which has no rows of its own. Where somebody publishes all tables, deleting from one needs a replica identity.
-- {persistence}, {segment}, {store}. Lock: SHARE UPDATE EXCLUSIVE on {store}.
create {persistence} table {segment} () inherits ({store});
alter table {segment} replica identity full
