-- The mark that a TRUNCATE leaves: an entry without a key. {function}, {log}. Lock: none.
create function {function}() returns trigger language plpgsql security definer as $capture$
begin
    insert into {log} default values;
    return null;
end
$capture$
