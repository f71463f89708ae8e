-- Count and digest of the expected rows, without those whose change is still in the log.
-- {images}, {source}, {pending}, {from_matches}, {slice}. REPEATABLE READ. Lock: ACCESS SHARE on {from}.
select count(*) as rows,
       coalesce(pg_catalog.bit_xor(pg_catalog.hash_record_extended(row({images})::record, 0)), 0) as digest
from {source} f
where not exists (select from {pending} k where {from_matches}){slice}
