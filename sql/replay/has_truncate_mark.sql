-- Whether a TRUNCATE is among the entries. {log}. Lock: none.
select exists (select from {log} where o1 is not distinct from null and n1 is not distinct from null) as truncated
