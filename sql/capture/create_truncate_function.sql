-- Logs a TRUNCATE: an entry without a key. The nulls are explicit, because a key whose type is a domain may have a
-- default. {function}, {log}, {columns} o1.. n1.., {values} a null for each. Lock: none.
create function {function}() returns trigger language plpgsql security definer as $capture$
begin
    insert into {log} ({columns}) values ({values});
    return null;
end
$capture$
