-- The log of one direction: the old and new key of every changed row, one entry per change. An insert has no old key, a
-- delete no new one, a truncate neither. seq orders the changes of one row: a later writer holds its row lock, and so
-- gets a higher number. Entries of different rows may have the same number. seq is the position in the WAL. A sequence
-- would change lastval(), which belongs to the application. The table itself only has marks of TRUNCATE: entries are in
-- its segments.
-- {log} its name, {columns} o1.. and n1.. with the key's own types and collations. Lock: none.
create table {log} (
    seq bigint not null default (pg_catalog.pg_current_wal_insert_lsn()
        operator(pg_catalog.-) '0/0'::pg_catalog.pg_lsn)::pg_catalog.int8,
    {columns}
)
