-- The log of one direction: the key of every changed row, old and new, in one row per change. An insert
-- has no old key, a delete no new one, a truncate neither. seq orders the changes of one row: whoever
-- changes it later holds its row lock and so takes a later number.
-- {log} its name, {columns} o1.. and n1.. with the key's own types and collations. Lock: none.
create {persistence} table {log} (seq bigint generated always as identity, {columns})
