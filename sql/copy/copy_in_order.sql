-- Copies the next rows in an order, and returns the new position. The columns of the order and the key after them are
-- unique. So a row that does not change is read exactly once, whatever other sessions do.
-- {from}, {order}, {position} of a row, {after} the condition for rows after the position, {to}, {columns}, {values},
-- {source}; $1 rows, $2 position so far. Lock: ACCESS SHARE on the original, ROW EXCLUSIVE on the shadow.
with page as materialized (
    select o.tid, pg_catalog.row_number() over (order by {order}) as n, {position} as position
    from (select o.*, o.ctid as tid from only {from} o where {after} order by {order} limit $1::int8) o
), copied as (
    insert into {to} ({columns}) overriding system value
    select {values} from page p join {source} f on f.tid = p.tid order by p.n
    returning 1
)
select (select count(*) from page) as rows_read, (select count(*) from copied) as rows,
       (select position from page order by n desc limit 1) as position
