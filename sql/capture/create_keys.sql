-- The set of keys that a round has to bring over: distinct by image, whatever the type's equality says.
-- It has no rows of its own: they are in its segments.
-- {keys} its name, {columns} k1.. with the key's own types and collations. Lock: none.
create {persistence} table {keys} ({columns})
