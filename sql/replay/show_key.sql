-- One of the pending keys, in readable form. {pending}, {source}; $1 which. REPEATABLE READ. Lock: ACCESS SHARE.
select {from_key} as key
from (select p.*, pg_catalog.row_number() over () as n from (select distinct * from {pending} p) p) k
join {source} f on {from_matches}
where k.n = $1
