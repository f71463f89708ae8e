-- The log of one direction: the key of every changed row, old and new, in one row per change. An insert
-- has no old key, a delete no new one, a truncate neither. seq orders the changes of one row: whoever
-- changes it later holds its row lock and so takes a later number. Entries for different rows may share one.
-- seq is the place in the WAL: each entry is written there too. A sequence would be the last one that the
-- writer's session used, and lastval() is the application's.
-- It has no rows of its own but marks of TRUNCATE: entries are in its segments.
-- {log} its name, {columns} o1.. and n1.. with the key's own types and collations. Lock: none.
create table {log} (
    seq bigint not null default (pg_catalog.pg_current_wal_insert_lsn()
        operator(pg_catalog.-) '0/0'::pg_catalog.pg_lsn)::pg_catalog.int8,
    {columns}
)
