-- Clears the recorded error. $1 migration. Lock: the row.
update pgrecast.migration set error_sqlstate = null, error_message = null, error_state = null, error_hint = null,
    error_since = null
where id = $1 and error_message is not null
