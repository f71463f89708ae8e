-- From the commit of these triggers on, every change of {table} is logged.
-- {row_function}, {truncate_function}, {moment} before or after. Lock: SHARE ROW EXCLUSIVE on {table}, which waits for
-- every open transaction that has written to it; ENABLE ALWAYS takes the same.
create trigger "!pgrecast_capture" after insert or update or delete on {table}
    for each row execute function {row_function}();
create trigger "!pgrecast_capture_truncate" {moment} truncate on {table}
    for each statement execute function {truncate_function}();
alter table {table} enable always trigger "!pgrecast_capture";
alter table {table} enable always trigger "!pgrecast_capture_truncate"
