-- Lets a sequence go on where another one stands. Whoever waits for the other one's lock has found it by its
-- name already and takes values of it when the lock is let go: these are left out here.
-- $1 oid of the sequence, $2 oid of the other one, $3 its last value, $4 whether that was taken, $5 whether it is left
-- alone where it would go back or out of its limits.
-- Lock: ROW EXCLUSIVE on the sequence.
select pg_catalog.setval(g.seqrelid, case when g.is_gap then g.later else $3::int8 end, g.is_gap or $4)
from (
    select s.seqrelid, v.later,
           exists (select from pg_catalog.pg_locks l where l.relation = $2 and not l.granted)
               and v.later between s.seqmin and s.seqmax as is_gap
    from pg_catalog.pg_sequence s
    -- in numeric: no overflow near the end of bigint
    cross join lateral (select $3::int8::numeric + 1000 * s.seqcache::numeric * s.seqincrement) n(later)
    cross join lateral (select case when n.later between s.seqmin and s.seqmax then n.later::bigint else s.seqmax end) v(later)
    where s.seqrelid = $1::oid
      and (not $5 or $3 between s.seqmin and s.seqmax
                     and case when s.seqincrement > 0 then $3 >= s.seqstart else $3 <= s.seqstart end)
) g
