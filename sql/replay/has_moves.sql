-- Whether a row went to another key, or came anew under a key that {to} still has: then a row is not
-- what stood under its key before, and what only {to} has must go with the row, or go.
-- {log}, {moves}, {to}, {to_matches_new}. REPEATABLE READ. Lock: none that matters.
select exists (
    select from {log} where {moves}
) or exists (
    select from {log} l join only {to} t on {to_matches_new} where l.o1 is not distinct from null and l.n1 is distinct from null
) as moves
