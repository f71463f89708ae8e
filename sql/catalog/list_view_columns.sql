-- Name, type, length and collation of each column of a relation, in the format of list_views.sql.
-- $1 its quoted name. Lock: none.
select array(select pg_catalog.concat_ws(' ', a.attname, a.atttypid, a.atttypmod, a.attcollation)
             from pg_catalog.pg_attribute a
             where a.attrelid = pg_catalog.to_regclass($1::text) and a.attnum > 0 and not a.attisdropped
             order by a.attnum) as columns
