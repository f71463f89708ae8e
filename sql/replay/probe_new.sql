-- Computes the rows that {to} does not have yet, for some of the pending keys: fails if one does not fit.
-- {pending}, {source}, {to}, {values}; $1 first key, $2 how many. REPEATABLE READ. Lock: ACCESS SHARE on both.
select pg_catalog.count((row({values})::record)::text)
from (select p.*, pg_catalog.row_number() over () as n from (select distinct * from {pending} p) p) k
join {source} f on {from_matches}
where k.n >= $1 and k.n < $1 + $2 and not exists (select from only {to} t where {to_matches_source})
