-- Whether the log contains a TRUNCATE: only its mark is not in a segment. {log}. Lock: none.
select exists (select from only {log}) as truncated
