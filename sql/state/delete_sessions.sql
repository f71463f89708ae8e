-- Deletes the sessions of a migration except its leader, and those of migrations that have ended and have no leader.
-- $1 migration, $2 the phases of migrations that have ended. Lock: the rows.
delete from pgrecast.session s using pgrecast.migration m
where m.id = s.migration_id
  and (m.id = $1 and s.id is distinct from m.leader or m.phase = any($2::text[]) and m.leader is null)
