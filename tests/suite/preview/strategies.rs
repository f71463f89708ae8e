//! Compares what `plan` says about every action with what the server does if it runs the action directly on a filled
//! table: whether it rewrites the table, whether it reads rows, and which lock it acquires. Also prints the table of
//! docs/strategies.md from the plans (`PGRECAST_BLESS=1 cargo test --test suite -- strategies` writes it).

use std::fmt::Write;

use crate::support::TestDb;

const TABLE: &str = "
    create type mood as enum ('sad', 'ok', 'happy');
    create domain short_text as text check (length(value) < 50);
    create domain plain_int as int;
    create function touch() returns trigger language plpgsql as 'begin return new; end';
    create table customer (id int primary key, code varchar(10) unique);
    create table orders (
        id int primary key, small smallint, amount int, total bigint, name varchar(10), note text, code char(5),
        price numeric(10,2), ratio numeric, made timestamp, seen timestamptz, day date, tags int[], labels varchar(10)[],
        data json, status mood, nick short_text, number plain_int, flags varbit(8), mac cidr, spent interval,
        positive int check (positive > 0), present int constraint is_present check (present is not null),
        customer_id int references customer, customer_code varchar(10) references customer (code),
        ref int, place int, base int default 1, doubled int generated always as (base * 2) stored, with_default int default 5, key int not null,
        long_name varchar(20) check (length(long_name) < 100), title varchar(20), label varchar(10) collate \"C\",
        own int, loose int,
        constraint numbers unique (own));
    alter table orders add constraint amounts check (amount < 1000000) not valid,
        add constraint not_yet foreign key (ref) references customer not valid;
    create table line (id int primary key, order_id int references orders);
    create index orders_amount on orders (amount);
    create index orders_name on orders (name);
    create index orders_title on orders (lower(title));
    create unique index orders_key on orders (key);
    create unique index orders_small on orders (small) where small > 0;
    create trigger touch before update on orders for each row execute function touch();
    create schema side;
    insert into customer select g, 'c' || g from generate_series(1, 100) g;
    insert into orders (id, small, amount, total, name, note, code, price, ratio, made, seen, day, tags, labels, data, status,
        nick, number, flags, mac, spent, positive, present, customer_id, customer_code, ref, place, key, long_name, title,
        label, own, loose)
    select g, g, g, g, 'n' || g, '12', 'c', g, g, '2026-01-01', '2026-01-01', '2026-01-01', array[g], array['a'], '{}', 'ok',
        'nick', g, '101', '10.0.0.0/8', '1 day', g, g, 1 + g % 100, 'c' || 1 + g % 100, 1 + g % 100, 1 + g % 100, g, 'long',
        'title', 'label', g, g
    from generate_series(1, 500) g;
";

/// The actions, each with the first major version that supports it.
const ACTIONS: [(&str, i32); 104] = [
    ("alter name type varchar(20)", 14),
    ("alter name type varchar(5)", 14),
    ("alter name type varchar", 14),
    ("alter name type text", 14),
    ("alter name type char(10)", 14),
    ("alter long_name type varchar(30)", 14),
    ("alter title type varchar(30)", 14),
    ("alter label type varchar(10) collate \"default\"", 14),
    ("alter label type varchar(20)", 14),
    ("alter note type varchar(10)", 14),
    ("alter note type varchar", 14),
    ("alter note type bytea using note::bytea", 14),
    ("alter note type short_text", 14),
    ("alter note type int using note::int", 14),
    ("alter code type char(8)", 14),
    ("alter code type text", 14),
    ("alter price type numeric(12,2)", 14),
    ("alter price type numeric(12,4)", 14),
    ("alter price type numeric(8,2)", 14),
    ("alter price type numeric", 14),
    ("alter ratio type numeric(12,2)", 14),
    ("alter small type int", 14),
    ("alter amount type bigint", 14),
    ("alter id type bigint", 14),
    ("alter total type int", 14),
    ("alter total type numeric", 14),
    ("alter made type timestamptz", 14),
    ("alter seen type timestamp", 14),
    ("alter seen type timestamptz(0)", 14),
    ("alter made type timestamp(6)", 14),
    ("alter day type timestamp", 14),
    ("alter spent type interval(3)", 14),
    ("alter tags type bigint[]", 14),
    ("alter labels type varchar(20)[]", 14),
    ("alter labels type text[]", 14),
    ("alter data type jsonb", 14),
    ("alter status type text", 14),
    ("alter nick type text", 14),
    ("alter number type int", 14),
    ("alter flags type varbit(16)", 14),
    ("alter mac type inet", 14),
    ("alter customer_code type varchar(20)", 14),
    ("alter customer_id type bigint", 14),
    ("alter name type varchar(20) using name", 14),
    ("alter name type varchar(20) using trim(name)", 14),
    ("add extra int", 14),
    ("add extra int default 7", 14),
    ("add extra int not null default 7", 14),
    ("add extra timestamptz default now()", 14),
    ("add extra timestamptz default clock_timestamp()", 14),
    ("add extra uuid default gen_random_uuid()", 14),
    ("add extra short_text", 14),
    ("add extra int check (extra > 0)", 14),
    ("add extra int default 1 check (extra > 0)", 14),
    ("add extra int unique", 14),
    ("add extra int references customer", 14),
    ("add extra bigint generated always as identity", 14),
    ("add extra int generated always as (base * 3) stored", 14),
    ("add extra int generated always as (base * 3) virtual", 18),
    ("drop note", 14),
    ("drop customer_id", 14),
    ("alter amount set default 3", 14),
    ("alter with_default drop default", 14),
    ("alter amount set not null", 14),
    ("alter present set not null", 14),
    ("alter key drop not null", 14),
    ("alter key add generated by default as identity", 14),
    ("alter doubled drop expression", 14),
    ("alter doubled set expression as (base * 4)", 17),
    ("alter amount set statistics 500", 14),
    ("alter amount set (n_distinct = 100)", 14),
    ("alter note set storage external", 14),
    ("alter note set compression pglz", 14),
    ("add check (amount > -5)", 14),
    ("add constraint positive_total check (total > 0) not valid", 14),
    ("add constraint known foreign key (place) references customer", 14),
    ("add constraint known foreign key (place) references customer not valid", 14),
    ("add unique (loose)", 14),
    ("add constraint once unique (loose) deferrable initially deferred", 14),
    ("add constraint by_index unique using index orders_key", 14),
    ("add exclude using btree (loose with =)", 14),
    ("validate constraint amounts", 14),
    ("validate constraint not_yet", 14),
    ("alter constraint not_yet deferrable", 14),
    ("drop constraint is_present", 14),
    ("drop constraint numbers", 14),
    ("drop constraint orders_customer_id_fkey", 14),
    ("rename amount to sum", 14),
    ("rename constraint amounts to limits", 14),
    ("disable trigger touch", 14),
    ("enable always trigger touch", 14),
    ("enable row level security", 14),
    ("replica identity full", 14),
    ("replica identity using index orders_key", 14),
    ("cluster on orders_amount", 14),
    ("set (fillfactor = 70)", 14),
    ("set (autovacuum_vacuum_scale_factor = 0.01)", 14),
    ("set (user_catalog_table = true)", 14),
    ("set without cluster", 14),
    ("set logged", 14),
    ("rename to purchases", 14),
    ("set schema side", 14),
    ("force row level security", 14),
    ("no force row level security", 14),
];

/// Actions that need another table or time zone: the setup, the action, the zone, the first version that supports it.
const ELSEWHERE: [(&str, &str, &str, i32); 7] = [
    (
        "create table orders (id int primary key, made timestamp);
         insert into orders select g, '2026-01-01' from generate_series(1, 500) g",
        "alter made type timestamptz",
        "Europe/Berlin",
        14,
    ),
    (
        "create extension citext; create table orders (id int primary key, note text);
         insert into orders select g, g from generate_series(1, 500) g",
        "alter note type citext",
        "UTC",
        14,
    ),
    (
        "create extension citext; create table orders (id int primary key, text text); create index on orders (text);
         insert into orders select g, g from generate_series(1, 500) g",
        "alter text type citext",
        "UTC",
        14,
    ),
    (
        "create table orders (id int primary key); insert into orders select generate_series(1, 500)",
        "set unlogged",
        "UTC",
        14,
    ),
    (
        "create unlogged table orders (id int primary key); insert into orders select generate_series(1, 500)",
        "set logged",
        "UTC",
        14,
    ),
    (
        "create table orders (id int primary key); insert into orders select generate_series(1, 500)",
        "set tablespace strategies_side",
        "UTC",
        15,
    ),
    (
        "create access method heap2 type table handler heap_tableam_handler;
         create table orders (id int primary key); insert into orders select generate_series(1, 500)",
        "set access method heap2",
        "UTC",
        15,
    ),
];

/// Actions that pgrecast leaves to the user, and the objects that they change.
const BY_HAND: [(&str, &str); 11] = [
    ("create table orders (id int primary key)", "owner to pg_database_owner"),
    ("create table orders (id int primary key); create table parent (id int not null)", "inherit parent"),
    ("create table elder (id int); create table orders (id int primary key) inherits (elder)", "no inherit elder"),
    ("create type shape as (id int); create table orders (id int)", "of shape"),
    ("create type shape as (id int); create table orders of shape", "not of"),
    ("create table orders (id int); create rule r as on delete to orders do also notify gone", "enable rule r"),
    ("create table orders (id int); create rule r as on delete to orders do also notify gone", "disable rule r"),
    ("create table orders (id int); create rule r as on delete to orders do also notify gone", "enable replica rule r"),
    ("create table orders (id int); create rule r as on delete to orders do also notify gone", "enable always rule r"),
    (
        "create table orders (id int) partition by list (id); create table part (id int);
         insert into part select 1 from generate_series(1, 500)",
        "attach partition part for values in (1)",
    ),
    (
        "create table orders (id int) partition by list (id); create table part partition of orders for values in (1);
         insert into part select 1 from generate_series(1, 500)",
        "detach partition part",
    ),
];

/// What the server does to the table if it runs the action directly.
#[derive(Debug, PartialEq, Eq)]
struct Truth {
    lock: String,
    reads_rows: bool,
    rewrites: bool,
}

/// The table's file node, and how many rows this transaction has read of all tables: not the same measurement as that
/// of `plan`.
async fn meter(db: &TestDb<'_>) -> (Option<u32>, i64) {
    let row = &db
        .query(
            "select max(pg_relation_filenode(c.oid)) filter (where c.relname in ('orders', 'purchases')),
                    sum(pg_stat_get_xact_tuples_returned(c.oid))::int8
             from pg_class c
             where c.relnamespace in (select oid from pg_namespace where nspname in ('public', 'side')) and c.relkind = 'r'",
            &[],
        )
        .await[0];
    (row.get(0), row.get(1))
}

async fn run_plainly(db: &TestDb<'_>, action: &str) -> Truth {
    db.execute("begin").await;
    let before = meter(db).await;
    db.execute(&format!("alter table orders {action}")).await;
    let after = meter(db).await;
    let modes: Vec<String> = db
        .query_column(
            "select mode from pg_locks where pid = pg_backend_pid() and locktype = 'relation' and granted
             and relation = (select oid from pg_class where relname in ('orders', 'purchases'))",
        )
        .await;
    db.execute("rollback").await;
    let strongest = [
        ("AccessExclusiveLock", "ACCESS EXCLUSIVE"),
        ("ShareRowExclusiveLock", "SHARE ROW EXCLUSIVE"),
        ("ShareUpdateExclusiveLock", "SHARE UPDATE EXCLUSIVE"),
    ];
    let lock =
        strongest.iter().find(|(mode, _)| modes.iter().any(|m| m == mode)).map_or("", |(_, words)| *words);
    Truth { lock: lock.into(), reads_rows: after.1 - before.1 >= 100, rewrites: after.0 != before.0 }
}

/// Compares what `plan` says with the truth; returns a row for the table, and what is wrong, if anything.
async fn compare(db: &TestDb<'_>, action: &str, zone: &str, table: &mut String) -> Option<String> {
    let plan = ["plan", "orders", "--alter", action, "--strategy", "auto", "--json"];
    let output = db.spawn_with("postgres", &plan, &[("PGTZ", zone)]).wait().await;
    let plan = output.json();
    let planned = &plan["actions"][0];
    db.execute(&format!("set timezone = '{zone}'")).await;
    let truth = run_plainly(db, action).await;
    let said = Truth {
        lock: planned["as_it_stands"]["lock"].as_str().unwrap_or_default().into(),
        reads_rows: planned["as_it_stands"]["reads_rows"].as_bool().unwrap_or_default(),
        rewrites: planned["as_it_stands"]["rewrites"].as_bool().unwrap_or_default(),
    };
    let class = planned["class"].as_str().unwrap_or_default();
    let costs_nothing = !truth.reads_rows && !truth.rewrites;
    let does = match (truth.rewrites, truth.reads_rows) {
        (true, _) => "rewrites all rows",
        (false, true) => "reads all rows",
        (false, false) => "catalog",
    };
    let at = if zone == "UTC" { String::new() } else { format!(" with TimeZone {zone}") };
    let lock = planned["lock"].as_str().unwrap_or_default();
    let _ = writeln!(table, "| `{action}`{at} | {does}, {} | {class} | {lock} |", truth.lock);
    let is_right =
        said == truth && (class == "instant") == costs_nothing && (!truth.rewrites || class == "copy");
    (!is_right).then(|| format!("{action}: said {class} {said:?}, is {truth:?}; {}", output.whole()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_prediction_is_what_the_server_does() {
    let db = TestDb::create("strategies").await;
    db.execute(TABLE).await;
    let mut table = String::from(
        "| action | by PostgreSQL directly | by pgrecast | lock of pgrecast |\n|---|---|---|---|\n",
    );
    let (mut seen, mut wrong) = (0, Vec::new());
    for (action, since) in ACTIONS {
        if since <= db.version {
            seen += 1;
            wrong.extend(compare(&db, action, "UTC", &mut table).await);
        }
    }
    if db.version >= 15 {
        db.execute("set allow_in_place_tablespaces = on").await;
        db.execute("create tablespace strategies_side location ''").await;
    }
    for (setup, action, zone, since) in ELSEWHERE {
        if since <= db.version {
            seen += 1;
            let db = TestDb::create("elsewhere").await;
            db.execute(setup).await;
            wrong.extend(compare(&db, action, zone, &mut table).await);
        }
    }
    db.execute("drop tablespace if exists strategies_side").await;
    for (setup, action) in BY_HAND {
        let db = TestDb::create("by_hand").await;
        db.execute(setup).await;
        let output = db.pgrecast(&["plan", "orders", "--alter", action]).await.expect_code(3);
        let truth = run_plainly(&db, action).await;
        let does = if truth.reads_rows { "reads the partition's rows" } else { "changes only the catalog" };
        let is_said = output.stderr.contains(does)
            && (truth.reads_rows || output.stderr.contains(&format!("under {}:", truth.lock)));
        if !is_said || truth.rewrites {
            wrong.push(format!("{action}: is {truth:?}; {}", output.whole()));
        }
        seen += 1;
        let does = if truth.reads_rows { "reads rows" } else { "catalog" };
        let _ = writeln!(table, "| `{action}` | {does}, {} | by hand | none |", truth.lock);
    }
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen >= 80, "{seen}");
    if db.version == 15 {
        crate::support::expect_printed(
            "docs/strategies.md",
            "printed by tests/suite/preview/strategies.rs",
            &table,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_changes_nothing_and_locks_nothing() {
    let mut db = TestDb::create("plan_only").await;
    db.execute(TABLE).await;
    let dump = crate::support::dump::schema_dump(&db).await;
    let counters = "select coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del
                    from pg_stat_user_tables where relname = 'orders'";
    db.connect_again().await; // a session flushes its counters when it ends
    crate::support::wait_until("the server has counted the rows", async || {
        db.query_value::<i64>(counters).await >= 500
    })
    .await;
    let before: i64 = db.query_value(counters).await;
    // The trial does not wait for writers of the table, and blocks nobody.
    db.execute("begin; lock table orders in row exclusive mode").await;
    for action in
        ["alter amount type bigint", "add check (amount > 0)", "add extra int", "add unique (loose)"]
    {
        db.pgrecast(&["plan", "orders", "--alter", action, "--strategy", "auto"]).await.expect_code(0);
    }
    db.execute("rollback").await;
    assert_eq!(crate::support::dump::schema_dump(&db).await, dump);
    let after: i64 = db.query_value(counters).await;
    assert_eq!(after, before);
}
