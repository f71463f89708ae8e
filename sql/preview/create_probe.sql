-- Says of one row why it does not convert. Seen by this session only, and gone with it.
-- {outputs}, {source}. Lock: none.
create function pg_temp.pgrecast_probe(probed pg_catalog.tid) returns text language plpgsql as $probe$
begin
    perform pg_catalog.octet_length(row({outputs})::text) from {source} f where f.tid = probed;
    return null;
exception when data_exception or integrity_constraint_violation then
    return sqlerrm;
end
$probe$
