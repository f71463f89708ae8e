-- Inserts the rows of the set's keys that do not exist yet. A row that is found by two images of one key is inserted
-- once. {to}, {columns}, {values}, {keys}, {source}, {after} a condition that makes other parts run first. REPEATABLE
-- READ.
-- Lock: ROW EXCLUSIVE on {to}.
insert into {to} ({columns}) overriding system value
select distinct on (f.tid) {values}
from {keys} k join {source} f on {from_matches}
where not exists (select from only {to} t where {to_matches_source}){after}
order by f.tid
