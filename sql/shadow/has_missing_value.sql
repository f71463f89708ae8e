-- Whether the server keeps one value of the column for all rows that were there before it; it does so for
-- every default that is not volatile. (The NULL of a default that is one is kept nowhere.)
-- $1 name of the scratch table. Lock: none.
select a.atthasmissing or not a.atthasdef as has_value
from pg_catalog.pg_attribute a where a.attrelid = $1::text::regclass and a.attname = 'value'
