-- Inserts the rows of the set's keys that are not there yet. A row found by two images of one key
-- comes once. {to}, {columns}, {values}, {keys}, {source}, {after} what must be done before. REPEATABLE READ.
-- Lock: ROW EXCLUSIVE on {to}.
insert into {to} ({columns}) overriding system value
select distinct on (f.tid) {values}
from {keys} k join {source} f on {from_matches}
where not exists (select from only {to} t where {to_matches_source}){after}
order by f.tid
