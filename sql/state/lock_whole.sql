-- Locks the record of a chunk that is copied in an order, and returns the position, and whether the table still has the
-- file that is being copied; no row if all of it is copied. Waits for an orphan of a killed run that is still copying.
-- $1 part. Lock: the row.
select k.id, k.position, pg_catalog.pg_relation_filenode(t.from_oid) is not distinct from t.filenode as is_same_file
from pgrecast.chunk k join pgrecast.part t on t.id = k.part_id
where k.part_id = $1 and k.copied_at is null for update of k
