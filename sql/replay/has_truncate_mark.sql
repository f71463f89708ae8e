-- Whether a TRUNCATE is among the entries: its mark is the only kind that is not in a segment. {log}. Lock: none.
select exists (select from only {log}) as truncated
