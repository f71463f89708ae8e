-- Limits the next statement to the time until the deadline that was set; to one millisecond after it. Lock: none.
select pg_catalog.set_config('statement_timeout', greatest(1, pg_catalog.ceil(pg_catalog.date_part('epoch',
    pg_catalog.current_setting('pgrecast.deadline')::pg_catalog.timestamptz operator(pg_catalog.-) pg_catalog.clock_timestamp())
    operator(pg_catalog.*) 1000::pg_catalog.float8)::pg_catalog.int4)::pg_catalog.text, true)
