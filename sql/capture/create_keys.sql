-- The set of keys that a round must replay: distinct by image, not by the equality of the type. The table itself has no
-- rows: they are in its segments.
-- {keys} its name, {columns} k1.. with the key's own types and collations. Lock: none.
create {persistence} table {keys} ({columns})
