-- Adds the keys of all log entries that this transaction's snapshot sees to the set.
-- IS NULL would also be true of a composite value that is all nulls: hence IS DISTINCT FROM.
-- {keys_segment}, {key_columns} k1.., {old} o1.., {new} n1.., {log}. REPEATABLE READ. Lock: none that matters.
insert into {keys_segment} ({key_columns})
select {old} from {log} where o1 is distinct from null
union all
select {new} from {log}
where n1 is distinct from null and (o1 is not distinct from null or row({old})::record operator(pg_catalog.*<>) row({new})::record)
on conflict do nothing
