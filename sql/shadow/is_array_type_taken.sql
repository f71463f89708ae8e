-- Whether the name of the shadow's array type is taken in the original's schema by an object that will still exist when
-- the shadow moves there (a table "_t" has the name of the array type of "t").
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
