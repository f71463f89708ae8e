-- Sets a sequence to the value of another one. A session that waits for the lock of the other one will take values from
-- it when the lock is released: these values are skipped here.
-- $1 name of the sequence, $2 oid of the other one, $3 its last value, $4 whether that was taken. Lock: ROW EXCLUSIVE
-- on the sequence.
select pg_catalog.setval(g.seqrelid, case when g.is_gap then g.later else $3::int8 end, g.is_gap or $4)
from (
    select s.seqrelid, v.later,
           exists (select from pg_catalog.pg_locks l where l.relation = $2 and not l.granted)
               and v.later between s.seqmin and s.seqmax as is_gap
    from pg_catalog.pg_sequence s
    -- numeric, to avoid overflow near the maximum of bigint
    cross join lateral (select $3::int8::numeric + 1000 * s.seqcache::numeric * s.seqincrement) n(later)
    cross join lateral (select case when n.later between s.seqmin and s.seqmax then n.later::bigint else s.seqmax end) v(later)
    where s.seqrelid = $1::text::regclass
) g
