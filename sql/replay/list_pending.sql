-- The number of keys with a change that is not replayed yet.
-- {pending}. REPEATABLE READ. Lock: none.
select count(*) as keys from (select distinct * from {pending} k) d
