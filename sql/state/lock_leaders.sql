-- The leaders as in list_leaders.sql, with a lock on the rows of the migrations until the end of the transaction.
-- $1 migration. Lock: the rows.
select m.id as migration_id, m.leader
from pgrecast.migration m
where m.id = $1
   or exists (select from pgrecast.table_change mine join pgrecast.table_change other using (original_oid)
              where mine.migration_id = $1 and other.migration_id = m.id)
order by m.id
for no key update of m
