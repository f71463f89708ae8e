-- Whether the name of the array type of the shadow's rows is taken in the original's schema by something
-- that will still be there when the shadow comes (a table "_t" takes the name that the array of "t" has).
-- $1 oid of the shadow, $2 oid of the original. Lock: none.
select exists (
    select from pg_catalog.pg_class shadow
    join pg_catalog.pg_type row_type on row_type.oid = shadow.reltype
    join pg_catalog.pg_type array_type on array_type.oid = row_type.typarray
    join pg_catalog.pg_class original on original.oid = $2
    join pg_catalog.pg_type own on own.oid = original.reltype
    join pg_catalog.pg_type taken on taken.typnamespace = original.relnamespace and taken.typname = array_type.typname
    where shadow.oid = $1 and taken.oid not in (own.oid, own.typarray)
) as taken
