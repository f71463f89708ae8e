-- After a copy without an index: takes away every copy of each row that changed since capture began,
-- be it copied never, once or twice. {to}, {keys}, {to_matches_key}. Lock: ROW EXCLUSIVE on the shadow.
delete from only {to} t using {keys} k where {to_matches_key}
