-- Adds the keys of log entries that this transaction's snapshot sees to the set. Sorted, so that the index of the set
-- and later lookups of the rows find neighbouring keys in one block (measured: a third of the time). IS NULL would also
-- be true for a composite value of only nulls, so IS DISTINCT FROM is used.
-- {keys_segment}, {key_columns} k1.., {old} o1.., {new} n1.., {log}, {which} entries. REPEATABLE READ. Lock: none that
-- matters.
insert into {keys_segment} ({key_columns})
select {key_columns} from (
    select {old} from {log} where o1 is distinct from null and {which}
    union all
    select {new} from {log}
    where n1 is distinct from null and (o1 is not distinct from null or row({old})::record operator(pg_catalog.*<>) row({new})::record) and {which}
) changed ({key_columns})
order by row({key_columns})::record using operator(pg_catalog.*<)
on conflict do nothing
