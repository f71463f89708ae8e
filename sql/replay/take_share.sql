-- Takes the share of one session from a range of blocks of each segment of the log: entries whose key has its
-- remainder. A change of a key has two keys and belongs to no session; the same is true for the mark of a TRUNCATE.
-- {log}, {logged_key} old or new, {logged_hash} of it, {moves}; $1 first block, $2 the block after the last, $3
-- sessions, $4 this one's number from 0. REPEATABLE READ. Lock: none that matters.
delete from {log}
where ctid >= pg_catalog.format('(%s,0)', $1::int8)::pg_catalog.tid
  and ctid < pg_catalog.format('(%s,0)', $2::int8)::pg_catalog.tid
  and (o1 is distinct from null or n1 is distinct from null) and not ({moves})
  and ({logged_hash} & 9223372036854775807) % $3::int8 = $4::int8
returning {logged_key}
