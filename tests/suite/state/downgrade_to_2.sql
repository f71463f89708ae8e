-- Brings the state of this program to version 2: makes the tables as that program made them (those of schema_2.sql) and
-- fills them with what it would have written.
begin;
create schema newer;
do $$
declare t record;
begin
    for t in select c.oid::regclass as name from pg_class c
             where c.relnamespace = 'pgrecast'::regnamespace and c.relkind = 'r'
               and c.relname in ('version', 'migration', 'table_change', 'part', 'chunk', 'mapping', 'key_column',
                                 'dependent', 'step', 'segment', 'event', 'session')
    loop
        execute format('alter table %s set schema newer', t.name);
    end loop;
end $$;
{tables}
insert into pgrecast.migration
select m.id, m.phase, m.created_at, m.owner_role, m.settings, null, null, t.verified_rows,
       t.verified_differences, t.verified_at, m.swap_xid, m.swapped_at, t.lock_attempts, t.lock_held_ms, t.lock_waited_ms,
       t.lock_blockers, m.waiting_for, t.keys_replayed, t.rounds, m.error_sqlstate, m.error_message, m.error_since,
       m.error_state, m.error_hint
from newer.migration m join newer.table_change t on t.migration_id = m.id;
insert into pgrecast.table_change overriding system value
select t.id, t.migration_id, t.ordinal, t.schema_name, t.table_name, t.original_oid, t.shadow_oid, t.shadow_schema,
       t.retired_schema, t.statements, t.reverse, t.filter, t.order_by, t.column_order, t.fingerprint, t.new_fingerprint,
       t.rows_estimated, p.filenode, p.blocks, coalesce(p.next_block, 0), t.capture_xmins
from newer.table_change t left join newer.part p on p.table_change_id = t.id;
insert into pgrecast.mapping
select table_change_id, direction, level, ordinal, name, expression, from_column, origin = 'using others', origin = 'per row'
from newer.mapping;
insert into pgrecast.key_column select * from newer.key_column;
insert into pgrecast.dependent overriding system value
select id, table_change_id, side, kind, name, schema_name, table_name, other_schema, other_table, role_name,
       create_statements, drop_statement, validate_statement, bytes, made_at, validated_at
from newer.dependent;
insert into pgrecast.step select * from newer.step;
insert into pgrecast.chunk overriding system value
select c.id, p.table_change_id, c.first_block, c.end_block, c.next_block, c.rows_copied, c.rows_read, c.position, c.copied_at
from newer.chunk c join newer.part p on p.id = c.part_id;
insert into pgrecast.segment select * from newer.segment;
insert into pgrecast.event overriding system value select * from newer.event;
select setval(pg_get_serial_sequence('pgrecast.' || name, 'id'), 1000) from unnest(array['table_change', 'dependent', 'chunk', 'event']) name;
drop schema newer cascade;
commit;
