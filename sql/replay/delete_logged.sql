-- After a copy without an index: deletes all copies of each row that changed since capture began. There may be zero,
-- one or two. {to}, {keys}, {to_matches_key}. Lock: ROW EXCLUSIVE on the shadow.
delete from only {to} t using {keys} k where {to_matches_key}
