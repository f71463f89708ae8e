-- Adds the keys of log entries that this transaction's snapshot sees to the set. In order: the set's index and
-- whoever looks the rows up later find neighbours in one block (measured: a third of the time).
-- IS NULL would also be true of a composite value that is all nulls: hence IS DISTINCT FROM.
-- {keys_segment}, {key_columns} k1.., {old} o1.., {new} n1.., {log}, {which} entries. REPEATABLE READ.
-- Lock: none that matters.
insert into {keys_segment} ({key_columns})
select {key_columns} from (
    select {old} from {log} where o1 is distinct from null and {which}
    union all
    select {new} from {log}
    where n1 is distinct from null and (o1 is not distinct from null or row({old})::record operator(pg_catalog.*<>) row({new})::record) and {which}
) changed ({key_columns})
order by row({key_columns})::record using operator(pg_catalog.*<)
on conflict do nothing
