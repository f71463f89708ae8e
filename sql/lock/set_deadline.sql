-- Notes until when the statements that follow may take. {left} an interval from now. Lock: none.
select pg_catalog.set_config('pgrecast.deadline',
    (pg_catalog.clock_timestamp() operator(pg_catalog.+) {left}::pg_catalog.interval)::pg_catalog.text, true)
