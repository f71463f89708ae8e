-- Compare-and-set of the phase.
-- $1 migration, $2 the phase it must have, $3 the phase it gets. Lock: the row.
update pgrecast.migration set phase = $3, error_sqlstate = null, error_message = null, error_state = null,
       error_hint = null
where id = $1 and phase = $2
