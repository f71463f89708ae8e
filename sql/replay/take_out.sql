-- Takes out the rows of the set's keys, and stores them to keep the values that only this table has.
-- {to}, {keys}, {held}, {to_matches_key}. REPEATABLE READ. Lock: ROW EXCLUSIVE on {to}.
with taken as (
    delete from only {to} t using {keys} k where {to_matches_key} returning t.*
)
insert into {held} select * from taken
