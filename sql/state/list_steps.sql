-- The steps of a table change, in order.
-- $1 table change. Lock: none.
select ordinal, how, lock_mode, locked_before, locked_after, object_name, object_oid, statements,
       begun_at is not null as is_begun, done_at is not null as is_done
from pgrecast.step where table_change_id = $1 order by ordinal
