-- Whether the key of a row changed, or a row was inserted under a key that {to} still has. Then the row of a key is not
-- the earlier row of that key, and values that only {to} has must move with the row, or be dropped.
-- {log}, {moves}, {to}, {to_matches_new}. REPEATABLE READ. Lock: none that matters.
select exists (
    select from {log} where {moves}
) or exists (
    select from {log} l join only {to} t on {to_matches_new} where l.o1 is not distinct from null and l.n1 is distinct from null
) as moves
