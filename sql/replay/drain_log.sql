-- Adds the keys of all log entries that this transaction's snapshot sees to the set.
-- {keys}, {key_columns} k1.., {old} o1.., {new} n1.., {log}. REPEATABLE READ. Lock: none that matters.
insert into {keys} ({key_columns})
select {old} from {log} where o1 is not null
union all
select {new} from {log}
where n1 is not null and (o1 is null or row({old})::record operator(pg_catalog.*<>) row({new})::record)
on conflict do nothing
