-- Captures a TRUNCATE if the other table has rows that this one never had: logs an entry for each removed row, as a
-- DELETE would, in the newest segment. Runs before the TRUNCATE, which already holds its lock.
-- {function}, {log} its name as a literal, {columns} o1.. n1.., {key} columns, {nulls} one for each. Lock: none.
create function {function}() returns trigger language plpgsql security definer as $capture$
declare
    segment pg_catalog.regclass;
begin
    select i.inhrelid::pg_catalog.regclass into strict segment from pg_catalog.pg_inherits i
    where i.inhparent operator(pg_catalog.=) {log}::pg_catalog.regclass order by i.inhrelid desc limit 1;
    execute pg_catalog.format('insert into %s ({columns}) select {key}, {nulls} from only %I.%I',
                              segment, tg_table_schema, tg_table_name);
    return null;
end
$capture$
