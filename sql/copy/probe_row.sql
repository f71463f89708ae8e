-- Copies one row, to find the one that does not fit.
-- {to}, {columns}, {values}, {source}; $1 the row's tid. Lock: as copy_chunk.
insert into {to} ({columns}) overriding system value
select {values} from {source} f where f.tid = $1::text::pg_catalog.tid
