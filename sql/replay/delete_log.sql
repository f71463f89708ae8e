-- Deletes exactly the entries that the same snapshot sees, never those up to a number: a lower number may commit later.
-- {log}, {which} entries. REPEATABLE READ. Lock: none that matters.
delete from {log} where {which}
