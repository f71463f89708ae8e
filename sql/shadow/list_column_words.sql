-- The columns of a table in the syntax of CREATE TABLE: the named ones first, in that order, then the others in their
-- order; with statements that set the storage that LIKE requires.
-- $1 oid of the table, $2 names, $3 quoted name of the table whose column of the same name gives the type.
-- Lock: ACCESS SHARE while an expression is read.
select pg_catalog.format('%I %s', a.attname, pg_catalog.format_type(b.atttypid, b.atttypmod))
           || coalesce((select pg_catalog.format(' collate %I.%I', n.nspname, l.collname)
                        from pg_catalog.pg_collation l join pg_catalog.pg_namespace n on n.oid = l.collnamespace
                        where l.oid = b.attcollation), '')
           -- An inherited column can only be generated if the parent's column is.
           || case when a.attgenerated <> '' then pg_catalog.format(' generated always as (%s) %s',
                  (select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d
                   where d.adrelid = a.attrelid and d.adnum = a.attnum),
                  case a.attgenerated when 's' then 'stored' else 'virtual' end) else '' end as words,
       case when b.attstorage <> y.typstorage then pg_catalog.format('alter column %I set storage %s', a.attname,
                case b.attstorage when 'p' then 'plain' when 'e' then 'external' when 'x' then 'extended' else 'main' end)
       end as storage
from pg_catalog.pg_attribute a
join pg_catalog.pg_attribute b on b.attrelid = $3::text::regclass and b.attname = a.attname
join pg_catalog.pg_type y on y.oid = b.atttypid
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
order by pg_catalog.array_position($2::text[], a.attname::text), a.attnum
