-- The rows that differ although no change of them is in the log: at most 10, and their total number.
-- {source}, {to}, {pending}, matches, {from_slice}, {is_too_many}, {to_slice}. REPEATABLE READ. Lock: ACCESS SHARE on
-- both.
with difference as (
    select {from_key} as key, 'differs' as what
    from {source} f, only {to} t{echo}
    where {to_matches_source}{echo_matches}
      and row({to_image})::record operator(pg_catalog.*<>) row({desired})::record
      and not exists (select from {pending} k where {from_matches}){from_slice}
    union all
    select {from_key}, 'is missing in the copy'
    from {source} f
    where not exists (select from only {to} t where {to_matches_source})
      and not exists (select from {pending} k where {from_matches}){from_slice}
    union all
    select {to_key}, 'is in the copy only'
    from only {to} t
    where {is_too_many}
      and not exists (select from {pending} k where {to_matches_key}){to_slice}
)
select key, what, count(*) over () as differences from difference limit 10
