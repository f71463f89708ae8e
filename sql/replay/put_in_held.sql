-- Inserts the rows that were taken out again, with the values that only this table has: each under the current key of
-- its row. The old key is found by following the log back, by seq, from key change to key change (two entries may have
-- the same seq, but not for the same key). A row that was inserted since has no old key and is left to insert_missing.
-- {to}, {columns}, {kept}, {desired}, {kept_values}, {keys}, {log}, {source}, {held}, {held_echo}. REPEATABLE READ.
-- Lock: ROW EXCLUSIVE on {to}.
with recursive moved as materialized (
    select * from {log}
    where n1 is distinct from null and (o1 is not distinct from null or row({old})::record operator(pg_catalog.*<>) row({new})::record)
), visit as (
    select seq, true as arrives, {new_as_key} from moved
    union all
    select seq, false, {old} from moved where o1 is distinct from null
), chained as (
    -- A change to another image of the same key comes after the change away from it.
    select seq, arrives, {key_columns}, pg_catalog.max(seq) filter (where arrives) over (
               partition by {key_columns} order by seq, arrives
               rows between unbounded preceding and 1 preceding) as before
    from visit
), step as materialized (
    select m.*, c.before from moved m left join chained c
        on c.seq = m.seq and not c.arrives and row({chained_key})::record operator(pg_catalog.*=) row({moved_old})::record
), walk as (
    select {last_as_final}, {last_old_as_origin}, l.before, l.o1 is not distinct from null as is_new
    from (select distinct on ({new}) * from step order by {new}, seq desc) l
    union all
    select {walk_final}, {step_old}, s.before, s.o1 is not distinct from null
    from walk w join step s
        on s.seq = w.before and row({step_new})::record operator(pg_catalog.*=) row({walk_origin})::record
), origin as (
    select {key_of_k}, {origin_of_k}, coalesce(w.is_new, false) as is_new
    from {keys} k left join walk w on w.before is null and {final_matches_key}
)
insert into {to} ({columns}{kept}) overriding system value
select distinct on (f.tid) {desired}{kept_values}
from origin k join {source} f on {from_matches}, {held} t{held_echo}
where not k.is_new and {to_matches_origin}{echo_matches}
order by f.tid
