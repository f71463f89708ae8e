-- How many keys have a change that was not brought over yet.
-- {pending}. REPEATABLE READ. Lock: none.
select count(*) as keys from (select distinct * from {pending} k) d
