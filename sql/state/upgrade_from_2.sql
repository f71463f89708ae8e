-- What is measured of a table stands with the table, what is copied block by block with its part, and the strategy is known.
-- Migrations of version 2 have one table each, with one part. Lock: ACCESS EXCLUSIVE on the state.
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

-- Whoever has rights on the state has them on what is new in it.
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
