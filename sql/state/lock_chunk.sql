-- Locks the record of an unfinished chunk, and returns the next block, and whether the table still has the file that is
-- being copied; no row if the chunk is already copied. Waits for an orphan of a killed run that is still copying it,
-- and then reads the record again.
-- $1 chunk. Lock: the row.
select k.next_block, pg_catalog.pg_relation_filenode(t.from_oid) is not distinct from t.filenode as is_same_file
from pgrecast.chunk k join pgrecast.part t on t.id = k.part_id
where k.id = $1 and k.copied_at is null for update of k
