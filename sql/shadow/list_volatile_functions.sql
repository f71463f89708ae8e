-- Functions that an expression calls and whose result may change between the copy and the replay of one row: volatile
-- ones, and stable ones that depend on the clock, the session or other tables. The expression is a column of a
-- temporary view; its parse tree names every function and operator by oid.
-- $1 oid of the view. Lock: none.
with tree as (
    select r.ev_action::text as text from pg_catalog.pg_rewrite r where r.ev_class = $1
), called as (
    select distinct m[1]::oid as oid from tree, pg_catalog.regexp_matches(text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') m
    union
    select distinct o.oprcode::oid from tree, pg_catalog.regexp_matches(text, ':opno ([0-9]+)', 'g') m
    join pg_catalog.pg_operator o on o.oid = m[1]::oid
)
select p.oid::regprocedure::text as function
from called c join pg_catalog.pg_proc p on p.oid = c.oid
where p.provolatile = 'v'
   or p.provolatile = 's' and (p.oid >= 16384 or p.proname in ('now', 'transaction_timestamp', 'statement_timestamp',
        'timeofday', 'pg_backend_pid', 'txid_current', 'pg_current_xact_id', 'current_setting', 'current_user',
        'session_user', 'current_schema', 'current_schemas', 'current_database', 'inet_client_addr', 'age'))
union all
select 'CURRENT_DATE, CURRENT_TIME, CURRENT_USER or the like' from tree where text like '%{SQLVALUEFUNCTION %'
