-- Deletes the rows of the set's keys that do not exist any more, or whose key has another image.
-- {to}, {keys}, {source}. REPEATABLE READ. Lock: ROW EXCLUSIVE on {to}.
delete from only {to} t using {keys} k
where {to_matches_key}
  and not exists (select from {source} f where {from_matches} and {to_matches_source})
