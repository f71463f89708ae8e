-- The number of rows that violate a constraint, and at most ten of them.
-- {offenders}. Lock: ACCESS SHARE on the tables.
with offender as materialized ({offenders})
select (select count(*) from offender) as offenders, array(select shown from offender limit 10) as shown
