-- Puts the rows that were taken out in again, with what only this table has of them.
-- {to}, {columns}, {kept}, {desired}, {kept_values}, {keys}, {source}, {held}, {echo}.
-- REPEATABLE READ. Lock: ROW EXCLUSIVE on {to}.
insert into {to} ({columns}{kept}) overriding system value
select distinct on (f.tid) {desired}{kept_values}
from {keys} k join {source} f on {from_matches}, {held} t{echo}
where {to_matches_source}{echo_matches}
order by f.tid
