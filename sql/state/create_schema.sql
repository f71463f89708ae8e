-- The state of all migrations in this database. All objects of pgrecast except shadows and retired tables are in this
-- schema: `drop schema pgrecast cascade` drops all of them.
-- Lock: none on the application's tables.
create schema pgrecast;
comment on schema pgrecast is 'state of pgrecast: open and past migrations, logs of changed keys. Dropping it with CASCADE removes the capture triggers too.';

create table pgrecast.version (schema_version int not null);
insert into pgrecast.version values (3);

-- One migration, with the settings that give casts the same meaning in every run.
create table pgrecast.migration (
    id uuid primary key,
    phase text not null,
    created_at timestamptz not null default clock_timestamp(),
    owner_role text not null,
    settings text[] not null,          -- name, value, name, value, ..
    leader bigint,                     -- the session of the current run
    swap_xid text,
    swapped_at timestamptz,
    waiting_for text,                  -- older transactions that the run waits for
    error_sqlstate text,
    error_message text,
    error_since timestamptz,           -- since when this error has occurred
    error_state text,
    error_hint text
);

-- The sessions that runs have opened. Each records itself, and is identified by this record and not by its application
-- name.
create table pgrecast.session (
    id bigint generated always as identity primary key,
    migration_id uuid not null references pgrecast.migration on delete cascade,
    pid int not null,
    backend_start timestamptz not null, -- no two backends share both
    role_oid oid not null,             -- the login role
    purpose text not null
);
create index on pgrecast.session (migration_id);

-- One table of a migration; all tables of a migration are swapped in one transaction.
create table pgrecast.table_change (
    id bigint generated always as identity primary key,
    migration_id uuid not null references pgrecast.migration,
    ordinal int not null,
    phase text not null default 'planned', -- phase of this table; the migration follows when all tables have reached it
    schema_name text not null,
    table_name text not null,
    original_oid oid not null,
    shadow_oid oid,
    shadow_schema text not null,
    retired_schema text not null,
    statements text[] not null,        -- the requested ALTERs, as given
    reverse text[] not null,           -- --reverse, as given
    filter text,                       -- --where, as given
    order_by text[] not null,          -- --order-by: an index, or columns
    column_order text[] not null,      -- --columns: the first columns
    strategy text not null,            -- --strategy
    fingerprint text not null,         -- of the original's definition when it was planned
    new_fingerprint text,              -- of the new table's, from its last index on
    rows_estimated bigint not null,
    capture_xmins text[],              -- xmin of the capture triggers' catalog rows
    verified_rows bigint,
    verified_differences bigint,
    verified_at timestamptz,
    lock_attempts int not null default 0,
    lock_held_ms float8,
    lock_waited_ms float8 not null default 0,
    lock_blockers text[] not null default '{}',
    keys_replayed bigint not null default 0,
    rounds bigint not null default 0,
    unique (migration_id, ordinal)
);
-- A table is in at most one open migration, even if several begin at the same time.
create unique index table_change_open on pgrecast.table_change (original_oid)
    where phase not in ('finished', 'aborted', 'rolled_back');

-- A heap that is copied to a heap: an ordinary table has one.
create table pgrecast.part (
    id bigint generated always as identity primary key,
    table_change_id bigint not null references pgrecast.table_change on delete cascade,
    ordinal int not null,
    from_oid oid not null,
    to_oid oid not null,
    filenode oid,                      -- of the heap while it is copied
    blocks bigint,                     -- to copy: those that existed when capture began
    next_block bigint not null default 0, -- the first unclaimed block
    unique (table_change_id, ordinal)
);

-- How rows are mapped from one shape to the other: levels of named expressions.
create table pgrecast.mapping (
    table_change_id bigint not null references pgrecast.table_change on delete cascade,
    direction text not null check (direction in ('forward', 'reverse')),
    level int not null,
    ordinal int not null,
    name text not null,
    expression text not null,
    from_column text,
    origin text not null,              -- where the value comes from: column, cast, using, using others, default, null, per row
    primary key (table_change_id, direction, level, ordinal)
);

create table pgrecast.key_column (
    table_change_id bigint not null references pgrecast.table_change on delete cascade,
    ordinal int not null,
    original_column text not null,
    new_column text not null,
    original_operator text not null,
    new_operator text not null,
    primary key (table_change_id, ordinal)
);

-- Objects that are created after the shadow: indexes, NOT VALID checks, foreign keys, states of triggers, and objects
-- that refer to the table.
create table pgrecast.dependent (
    id bigint generated always as identity primary key,
    table_change_id bigint not null references pgrecast.table_change on delete cascade,
    side text not null check (side in ('original', 'new')),
    kind text not null,
    name text not null,
    schema_name text not null,
    table_name text not null,
    other_schema text,
    other_table text,
    role_name text,                    -- the role that creates it, if not the table's owner
    create_statements text[] not null,
    drop_statement text,
    validate_statement text,
    bytes bigint not null default 0,
    build_statements int not null default 0, -- of an index: how many of the first statements only build
    refuses_rows boolean not null default false, -- of an index: whether rows can violate it
    made_at timestamptz,
    validated_at timestamptz
);

-- The steps of a change without a copy. A step under a lock or online commits together with done_at. An index is
-- created or dropped outside of a transaction: begun_at says that an index with its name is ours.
create table pgrecast.step (
    table_change_id bigint not null references pgrecast.table_change on delete cascade,
    ordinal int not null,
    how text not null check (how in ('under lock', 'online', 'make index', 'drop index')),
    lock_mode text,
    locked_before text[] not null,     -- other tables that it locks: schema, name, schema, name, ..
    locked_after text[] not null,
    object_name text,                  -- the index or constraint that it creates
    object_oid oid,                    -- of the one that it created or drops: no other object with that name is ever dropped
    statements text[] not null,
    begun_at timestamptz,
    done_at timestamptz,
    primary key (table_change_id, ordinal)
);

-- A range of blocks that one session copies piece by piece: each piece in one transaction with next_block.
create table pgrecast.chunk (
    id bigint generated always as identity primary key,
    part_id bigint not null references pgrecast.part on delete cascade,
    first_block bigint not null,
    end_block bigint not null,
    next_block bigint not null,        -- all blocks before it are copied
    rows_copied bigint not null default 0,
    rows_read bigint not null default 0, -- in an order (--order-by): rows so far, and
    position text[],                     -- the last of them
    copied_at timestamptz
);
create index on pgrecast.chunk (part_id) where copied_at is null;

-- The parts of logs and key sets.
create table pgrecast.segment (
    table_change_id bigint not null references pgrecast.table_change on delete cascade,
    store text not null,               -- name of the log or key set
    number int not null,               -- writers use the highest
    writers text[],                    -- transactions that may still write to an older one; null: not known yet
    primary key (table_change_id, store, number)
);

-- Append-only history.
create table pgrecast.event (
    id bigint generated always as identity primary key,
    migration_id uuid not null references pgrecast.migration,
    at timestamptz not null default clock_timestamp(),
    kind text not null,
    message text not null
);

-- The guard of the swap: a statement with a snapshot from before the swap does not see the changes of the last round, and
-- its UPDATE of such a row would silently change nothing. It gets the error that REPEATABLE READ and SERIALIZABLE
-- transactions must expect anyway. STABLE: it uses the snapshot of the statement, which in READ COMMITTED too may be from
-- before the lock, as in COPY (UPDATE ..) TO. The argument is the swap's xid.
create function pgrecast.guard() returns trigger stable language plpgsql as $guard$
begin
    if not pg_catalog.pg_visible_in_snapshot(tg_argv[0]::pg_catalog.xid8, pg_catalog.pg_current_snapshot()) then
        raise exception using errcode = '40001',
            message = 'could not serialize access due to a concurrent change of the table''s shape',
            hint = 'The transaction might succeed if retried.';
    end if;
    return null;
end
$guard$;
