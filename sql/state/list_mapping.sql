-- A mapping, level by level.
-- $1 table change, $2 direction. Lock: none.
select level, name, expression, from_column, origin from pgrecast.mapping
where table_change_id = $1 and direction = $2 order by level, ordinal
