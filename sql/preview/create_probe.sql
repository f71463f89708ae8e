-- Returns why one row does not convert. Temporary: exists only in this session.
-- {outputs}, {source}. Lock: none.
create function pg_temp.pgrecast_probe(probed pg_catalog.tid) returns text language plpgsql as $probe$
begin
    perform pg_catalog.octet_length(row({outputs})::text) from {source} f where f.tid = probed;
    return null;
exception when data_exception or integrity_constraint_violation then
    return sqlerrm;
end
$probe$
