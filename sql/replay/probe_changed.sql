-- Computes the new values of existing rows of {to}, for some of the pending keys: fails if one does not fit.
-- {pending}, {source}, {to}, {desired}; $1 first key, $2 how many. REPEATABLE READ. Lock: ACCESS SHARE on both.
select pg_catalog.count((row({desired})::record)::text)
from (select p.*, pg_catalog.row_number() over () as n from (select distinct * from {pending} p) p) k
join {source} f on {from_matches}{echo}, only {to} t
where k.n >= $1 and k.n < $1 + $2 and {to_matches_source}{echo_matches}
