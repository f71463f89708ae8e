-- All segments of a table change. $1 table change. Lock: none.
select store, number from pgrecast.segment where table_change_id = $1 order by store, number
