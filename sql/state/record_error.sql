-- Why the last run failed.
-- $1 migration, $2 sqlstate, $3 message, $4 state, $5 hint. Lock: the row.
update pgrecast.migration set error_sqlstate = $2, error_message = $3, error_state = $4, error_hint = $5,
    error_since = case when error_message = $3 then error_since else pg_catalog.clock_timestamp() end
where id = $1
