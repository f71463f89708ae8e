-- A segment of the log or of the key set, for new rows. Reads and deletes use {store}, which itself has no rows. If a
-- publication publishes all tables, DELETE needs a replica identity.
-- {persistence}, {segment}, {store}. Lock: SHARE UPDATE EXCLUSIVE on {store}.
create {persistence} table {segment} () inherits ({store});
alter table {segment} replica identity full
