-- The capture function of one direction: logs the key of each changed row, in the writer's own transaction. It does not
-- use the writer's search_path, compares nothing and has no branches: OLD of an INSERT and NEW of a DELETE are null
-- since PostgreSQL 11. security definer: writers need no rights on our schema.
-- {function} its name, {log} the segment of the log, {columns} o1.. n1.., {values} old.k1.. new.k1.. Lock: none.
create or replace function {function}() returns trigger language plpgsql security definer as $capture$
begin
    insert into {log} ({columns}) values ({values});
    return null;
end
$capture$
