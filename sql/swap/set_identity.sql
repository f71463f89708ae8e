-- Sets a sequence to the value of another one. A session that looked up the other one by its name takes values from it
-- as soon as the swap has committed: then this one continues 1000 values later, if its range has them. Such a session
-- need not wait for a lock yet. So there is no gap only if no value was taken since this sequence was last set to the
-- other one's, and no other session is in a transaction now.
-- $1 oid of the sequence, $2 last value of the other one, $3 whether that was taken, $4 whether the other one is a
-- serial's, or was one: it keeps its name, so there is no gap, and the sequence is left alone if it would go back or leave
-- its limits.
-- Lock: ROW EXCLUSIVE on the sequence.
select pg_catalog.setval(g.seqrelid, case when g.is_gap then g.later::bigint else $2::int8 end, g.is_gap or $3)
from (
    select s.seqrelid, n.later,
           not $4 and n.later between s.seqmin and s.seqmax
               and (pg_catalog.pg_sequence_last_value(s.seqrelid) is distinct from case when $3 then $2::int8 end
                    or exists (
                        -- All may see these columns of other sessions. Autovacuum has no role.
                        select from pg_catalog.pg_locks l
                        join pg_catalog.pg_stat_activity a on a.pid = l.pid
                        where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock'
                          and a.datname = pg_catalog.current_database() and a.usesysid is not null
                          and a.pid <> pg_catalog.pg_backend_pid())) as is_gap
    from pg_catalog.pg_sequence s
    -- numeric, to avoid overflow near the maximum of bigint
    cross join lateral (select $2::int8::numeric + 1000 * s.seqcache::numeric * s.seqincrement) n(later)
    where s.seqrelid = $1::oid
      and (not $4 or $2 between s.seqmin and s.seqmax
                     and case when s.seqincrement > 0 then $2 >= s.seqstart else $2 <= s.seqstart end)
) g
