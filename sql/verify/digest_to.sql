-- Count and digest of the actual rows, without those whose change is still in the log.
-- {images}, {to}, {pending}, {to_matches_key}, {slice}. REPEATABLE READ. Lock: ACCESS SHARE on {to}.
select count(*) as rows,
       coalesce(pg_catalog.bit_xor(pg_catalog.hash_record_extended(row({images})::record, 0)), 0) as digest
from only {to} t
where not exists (select from {pending} k where {to_matches_key}){slice}
