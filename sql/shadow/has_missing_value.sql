-- Whether the server stores one value of the column for all rows that existed before it. It does so for every default
-- that is not volatile. (It does not store a NULL.)
-- $1 name of the scratch table. Lock: none.
select a.atthasmissing or not a.atthasdef as has_value
from pg_catalog.pg_attribute a where a.attrelid = $1::text::regclass and a.attname = 'value'
