-- Updates the rows of the set's keys that differ by image: by equality, 1.0 and 1.00 would not differ.
-- {to}, {assignments}, {keys}, {source}, {echo}, {echo_matches}, {to_image}, {desired}. REPEATABLE READ. Lock: ROW
-- EXCLUSIVE on {to}.
update only {to} t set {assignments}
from {keys} k join {source} f on {from_matches}{echo}
where {to_matches_source}{echo_matches}
  and row({to_image})::record operator(pg_catalog.*<>) row({desired})::record
