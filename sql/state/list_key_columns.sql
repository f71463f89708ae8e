-- The shared key, in order.
-- $1 table change. Lock: none.
select original_column, new_column, original_operator, new_operator from pgrecast.key_column
where table_change_id = $1 order by ordinal
