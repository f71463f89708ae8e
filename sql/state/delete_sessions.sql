-- Forgets the sessions of a migration but the one that leads it, and those of migrations that have ended and that
-- nobody leads.
-- $1 migration, $2 the phases of those that have ended. Lock: the rows.
delete from pgrecast.session s using pgrecast.migration m
where m.id = s.migration_id
  and (m.id = $1 and s.id is distinct from m.leader or m.phase = any($2::text[]) and m.leader is null)
