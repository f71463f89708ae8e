-- Takes the record of a chunk of which more is to be copied, and says from where, and whether the table's file is
-- still the one that is being copied; no row when all of it was copied meanwhile. Waits for an orphan of a killed
-- run that is still copying it, and then looks again.
-- $1 chunk. Lock: the row.
select k.next_block, pg_catalog.pg_relation_filenode(t.from_oid) is not distinct from t.filenode as is_same_file
from pgrecast.chunk k join pgrecast.part t on t.id = k.part_id
where k.id = $1 and k.copied_at is null for update of k
