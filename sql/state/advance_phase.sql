-- Compare-and-set of the phase, by the session that leads the migration. All tables of the migration have reached it.
-- $1 migration, $2 the phase it must have, $3 the phase it gets. Lock: the rows.
with advanced as (
    update pgrecast.migration set phase = $3, error_sqlstate = null, error_message = null, error_state = null,
           error_hint = null
    where id = $1 and phase = $2
      and leader in (select s.id from pgrecast.session s where s.pid = pg_catalog.pg_backend_pid())
    returning id
)
update pgrecast.table_change t set phase = $3 from advanced where t.migration_id = advanced.id
