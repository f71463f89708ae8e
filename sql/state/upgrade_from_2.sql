-- Moves measurements to the table and the progress of the copy to its part, and adds the strategy. Migrations of
-- version 2 have one table each, with one part. Lock: ACCESS EXCLUSIVE on the state.
alter table pgrecast.table_change
    add phase text not null default 'planned',
    add strategy text not null default 'auto',
    add verified_rows bigint,
    add verified_differences bigint,
    add verified_at timestamptz,
    add lock_attempts int not null default 0,
    add lock_held_ms float8,
    add lock_waited_ms float8 not null default 0,
    add lock_blockers text[] not null default '{}',
    add keys_replayed bigint not null default 0,
    add rounds bigint not null default 0;
alter table pgrecast.table_change alter strategy drop default;
update pgrecast.table_change t
set phase = m.phase, verified_rows = m.verified_rows, verified_differences = m.verified_differences,
    verified_at = m.verified_at, lock_attempts = m.lock_attempts, lock_held_ms = m.lock_held_ms,
    lock_waited_ms = m.lock_waited_ms, lock_blockers = m.lock_blockers, keys_replayed = m.keys_replayed, rounds = m.rounds
from pgrecast.migration m where m.id = t.migration_id;
alter table pgrecast.migration
    drop verified_rows, drop verified_differences, drop verified_at, drop lock_attempts, drop lock_held_ms,
    drop lock_waited_ms, drop lock_blockers, drop keys_replayed, drop rounds;

create table pgrecast.part (
    id bigint generated always as identity primary key,
    table_change_id bigint not null references pgrecast.table_change on delete cascade,
    ordinal int not null,
    from_oid oid not null,
    to_oid oid not null,
    filenode oid,
    blocks bigint,
    next_block bigint not null default 0,
    unique (table_change_id, ordinal)
);
insert into pgrecast.part (table_change_id, ordinal, from_oid, to_oid, filenode, blocks, next_block)
select id, 1, original_oid, shadow_oid, filenode, blocks, next_block
from pgrecast.table_change where shadow_oid is not null;
alter table pgrecast.table_change drop filenode, drop blocks, drop next_block;

alter table pgrecast.chunk add part_id bigint references pgrecast.part on delete cascade;
update pgrecast.chunk c set part_id = p.id from pgrecast.part p where p.table_change_id = c.table_change_id;
alter table pgrecast.chunk alter part_id set not null, drop table_change_id;
create index on pgrecast.chunk (part_id) where copied_at is null;

-- An expression whose kind is not certain counts as USING: this compares more rows, never fewer.
alter table pgrecast.mapping add origin text;
update pgrecast.mapping m
set origin = case
    when m.is_once then 'per row'
    when m.is_mixed then 'using others'
    when m.from_column is null and pg_catalog.starts_with(m.expression, '(null)') then 'null'
    when m.from_column is null then 'default'
    when m.level = 0 and m.expression = r.reference then 'column'
    when m.level = 0 and pg_catalog.starts_with(m.expression, '(' || r.reference || ')::') then 'cast'
    else 'using' end
from (select t.id, d.direction, d.level, d.ordinal,
             '"' || pg_catalog.replace(t.table_name, '"', '""') || '"."' || pg_catalog.replace(d.from_column, '"', '""') || '"' as reference
      from pgrecast.table_change t join pgrecast.mapping d on d.table_change_id = t.id) r
where r.id = m.table_change_id and r.direction = m.direction and r.level = m.level and r.ordinal = m.ordinal;
alter table pgrecast.mapping alter origin set not null, drop is_mixed, drop is_once;

alter table pgrecast.dependent
    add build_statements int not null default 0,
    add refuses_rows boolean not null default false;
update pgrecast.dependent
set build_statements = case when pg_catalog.starts_with(create_statements[2], 'CREATE ') then 2 else 0 end,
    refuses_rows = not pg_catalog.starts_with(create_statements[2], 'CREATE INDEX ')
where kind in ('index', 'key index');

-- It looks with the snapshot of the statement from now on.
alter function pgrecast.guard() stable;

alter table pgrecast.migration drop runner_pid, drop runner_seen_at, add leader bigint;
create table pgrecast.session (
    id bigint generated always as identity primary key,
    migration_id uuid not null references pgrecast.migration on delete cascade,
    pid int not null,
    backend_start timestamptz not null,
    role_oid oid not null,
    purpose text not null
);
create index on pgrecast.session (migration_id);
create unique index table_change_open on pgrecast.table_change (original_oid)
    where phase not in ('finished', 'aborted', 'rolled_back');

-- Roles with rights on the state get the same rights on its new tables.
do $grant$
declare given record;
begin
    for given in select acl.grantee, acl.privilege_type
                 from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) acl
                 where c.oid = 'pgrecast.migration'::pg_catalog.regclass and acl.grantee <> c.relowner
    loop
        execute pg_catalog.format('grant %s on pgrecast.part, pgrecast.session to %s', given.privilege_type,
            case given.grantee when 0 then 'public' else given.grantee::pg_catalog.regrole::text end);
    end loop;
end
$grant$;

update pgrecast.version set schema_version = 3
