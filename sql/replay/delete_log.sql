-- Takes exactly those entries away that the same snapshot sees; never by a watermark: a lower number
-- may commit later. {log}, {which} entries. REPEATABLE READ. Lock: none that matters.
delete from {log} where {which}
