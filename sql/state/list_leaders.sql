-- The leaders of a migration and of all other migrations of the same tables, each with its backend.
-- $1 migration. Lock: none.
select m.id as migration_id, m.leader, s.pid, s.backend_start, s.role_oid
from pgrecast.migration m
left join pgrecast.session s on s.id = m.leader
where m.id = $1
   or exists (select from pgrecast.table_change mine join pgrecast.table_change other using (original_oid)
              where mine.migration_id = $1 and other.migration_id = m.id)
order by m.id
