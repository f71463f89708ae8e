-- The file node of a table, and how often this transaction has scanned the table, its indexes and the relations of
-- these schemas. $1 oid of the table, $2 and $3 the schemas. Lock: none.
select pg_catalog.pg_relation_filenode($1::oid) as filenode,
       (select coalesce(sum(pg_catalog.pg_stat_get_xact_numscans(c.oid)), 0)::int8
        from pg_catalog.pg_class c
        where c.relnamespace in ($2::text::regnamespace, $3::text::regnamespace)
           or c.oid = $1 or c.oid in (select i.indexrelid from pg_catalog.pg_index i where i.indrelid = $1)) as scans,
       pg_catalog.current_setting('track_counts')::bool as is_counted
