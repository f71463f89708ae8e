-- The event triggers that can alter a table when it is created or altered. Lock: none.
select e.evtname::text as name from pg_catalog.pg_event_trigger e
where e.evtevent = 'ddl_command_end' and e.evtenabled in ('O', 'A')
order by 1
