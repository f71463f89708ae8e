-- Takes keys and replays them to {to}, in one statement: first deletes, then updates, then inserts, so that a unique
-- value is free before it is used again. In the order of the images of the keys, which is also the order in the
-- indexes. {take} returns and removes the keys; {delete_gone}, {update_changed} and
-- {insert_missing} are the statements that a round runs separately. REPEATABLE READ. Lock: ROW EXCLUSIVE on {to}.
with taken ({key_columns}) as (
{take}
), keys as materialized (
    select distinct on (row({key_columns})::record) {key_columns} from taken
    order by row({key_columns})::record using operator(pg_catalog.*<)
), gone as (
{delete_gone}
    returning 1
), changed as (
{update_changed}
  and (select count(*) from gone) >= 0
    returning 1
), inserted as (
{insert_missing}
    returning 1
)
select (select count(*) from taken) as taken, (select count(*) from keys) as keys,
       (select count(*) from gone) + (select count(*) from changed) + (select count(*) from inserted) as rows
