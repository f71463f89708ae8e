-- Copies one row, to find the one that does not fit.
-- As copy_chunk; $1 the row's tid.
insert into {to} ({columns}) overriding system value
select {values} from {source} f where f.tid = $1::text::pg_catalog.tid
