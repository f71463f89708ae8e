//! The same ALTER, by pgrecast on a table under writes and directly on its twin, must give the same rows and the same
//! catalog. After a rollback no write in between may be missing.

use crate::support::twin::{Column, Key, Values, compare};
use crate::support::*;
use serde_json::Value;

/// Rows each table begins with.
const ROWS: u64 = 20_000;
/// Transactions that each connection commits before, between and after the commands.
const SOME: u64 = 30;

/// One kind of table, and a change that rewrites it.
struct Case {
    /// The change on the command line, and in SQL.
    name: &'static str,
    definition: &'static str,
    key: Key,
    columns: &'static [Column],
    alter: &'static str,
}

const INTEGER_KEY: Case = Case {
    name: "orders",
    definition: "
        create table {table} (
            id int primary key,
            customer int not null,
            state text,
            amount numeric(10,2),
            counter int not null default 0,
            touched timestamptz
        );
        create index on {table} (customer);
        create index on {table} (state, touched)",
    key: Key::Int("id"),
    columns: &[
        Column::new("customer", Values::Int),
        Column::nullable("state", Values::Text),
        Column::nullable("amount", Values::Numeric(2)),
        Column::new("counter", Values::Counter),
        Column::nullable("touched", Values::Timestamp),
    ],
    alter: "alter column id type bigint, add column note text not null default 'none'",
};

const COMPOSITE_KEY: Case = Case {
    name: "stock",
    definition: "
        create table {table} (
            region text not null,
            no int not null,
            quantity int,
            label text,
            weight double precision,
            primary key (region, no)
        );
        create index on {table} (no desc, label)",
    key: Key::TextInt("region", "no"),
    columns: &[
        Column::nullable("quantity", Values::Counter),
        Column::nullable("label", Values::Text),
        Column::nullable("weight", Values::Float),
    ],
    alter: "alter column no type bigint, alter column label type varchar(60)",
};

const UUID_KEY: Case = Case {
    name: "sessions",
    definition: "
        create table {table} (
            id uuid primary key,
            hits int not null default 1,
            is_open boolean,
            token bytea,
            data jsonb
        );
        create index on {table} using gin (data)",
    key: Key::Uuid("id"),
    columns: &[
        Column::new("hits", Values::Counter),
        Column::nullable("is_open", Values::Boolean),
        Column::nullable("token", Values::Bytea),
        Column::nullable("data", Values::Jsonb),
    ],
    alter: "alter column hits type bigint",
};

const QUOTED_NAMES: Case = Case {
    name: "\"Order Lines\"",
    definition: "
        create table {table} (
            \"Old Stuff\" text,
            \"Id\" int primary key,
            \"Code\" text not null unique,
            \"Slot\" int unique deferrable,
            \"Serial No\" serial,
            \"Count\" int not null default 0
        )",
    key: Key::Int("\"Id\""),
    columns: &[
        Column::nullable("\"Old Stuff\"", Values::Text).fill_only(),
        Column::new("\"Code\"", Values::UniqueText),
        Column::new("\"Slot\"", Values::DeferrableUniqueInt),
        Column::new("\"Serial No\"", Values::Default),
        Column::new("\"Count\"", Values::Counter),
    ],
    alter: "alter column \"Count\" type bigint, drop column \"Old Stuff\"",
};

const MANY_TYPES: Case = Case {
    name: "documents",
    definition: "
        create table {table} (
            id bigint primary key,
            title text not null,
            body text,
            price numeric(12,3),
            fee numeric(12,3),
            data jsonb,
            tags text[],
            scores int[],
            at timestamptz,
            title_length int generated always as (length(title)) stored
        );
        create index on {table} (at)",
    key: Key::Int("id"),
    columns: &[
        Column::new("title", Values::Text),
        Column::nullable("body", Values::Toast),
        // Narrowed by the change: its third digit is lost, and a rollback must restore it.
        Column::nullable("price", Values::Numeric(3)).fill_only(),
        Column::nullable("fee", Values::Numeric(2)),
        Column::nullable("data", Values::Jsonb),
        Column::nullable("tags", Values::TextArray),
        Column::nullable("scores", Values::IntArray),
        Column::nullable("at", Values::Timestamp),
    ],
    alter: "alter column price type numeric(12,2), alter column scores type bigint[]",
};

/// The change runs under writes, and its result equals that of the plain ALTER, in rows and in the catalog.
async fn equals_the_plain_alter(case: &Case) {
    let db = TestDb::create("twin").await.with_little_as_much();
    let table = case.create(&db).await;
    table.fill(&db, ROWS).await;

    let workload = Workload::on(&table).start(&db).await;
    workload.commits(SOME).await;
    let id = run_to_the_swap(&db, case).await;
    workload.commits(SOME).await;
    workload.stop().await.assert_clean();

    db.execute(&format!("alter table {} {}", table.twin, case.alter)).await;
    let rows = table.assert_equal(&db).await;
    assert!(rows > 0, "there are rows to compare");

    expect_phase(&db, &["cleanup", &id, "--json"], None).await;
    let plain = TestDb::create("plain").await;
    let untouched = case.create(&plain).await;
    for name in [&untouched.original, &untouched.twin] {
        plain.execute(&format!("alter table {name} {}", case.alter)).await;
    }
    assert_same_catalog(&schema_dump(&plain).await, &schema_dump(&db).await);
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}

/// Everything written after the swap is in the old table after the rollback, and the catalog is as before.
async fn rolls_back_without_losing_a_write(case: &Case) {
    let db = TestDb::create("rollback").await.with_little_as_much();
    let table = case.create(&db).await;
    table.fill(&db, ROWS).await;
    let before = schema_dump(&db).await;

    let workload = Workload::on(&table).start(&db).await;
    workload.commits(SOME).await;
    let id = run_to_the_swap(&db, case).await;
    workload.commits(SOME).await;
    expect_phase(&db, &["rollback", &id, "--json"], Some("rolled_back")).await;
    workload.commits(SOME).await;
    workload.stop().await.assert_clean();

    let rows = table.assert_equal(&db).await;
    assert!(rows > 0, "there are rows to compare");

    expect_phase(&db, &["cleanup", &id, "--json"], None).await;
    assert_same_catalog(&before, &schema_dump(&db).await);
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}

impl Case {
    async fn create(&self, db: &TestDb<'_>) -> Table {
        Table::create(db, self.name, self.definition, self.key, self.columns).await
    }
}

/// Runs the change; returns the migration's id.
async fn run_to_the_swap(db: &TestDb<'_>, case: &Case) -> String {
    let status =
        expect_phase(db, &["run", case.name, "--alter", case.alter, "--json"], Some("swapped")).await;
    status["id"].as_str().expect("an id").to_owned()
}

async fn expect_phase(db: &TestDb<'_>, arguments: &[&str], phase: Option<&str>) -> Value {
    let output = db.pgrecast(arguments).await.expect_code(0);
    let status = if output.stdout.is_empty() { Value::Null } else { output.json() };
    if let Some(phase) = phase {
        assert_eq!(status["phase"], phase, "{}", output.whole());
    }
    status
}

#[track_caller]
fn assert_same_catalog(expected: &str, found: &str) {
    let differences = diff(&dump::without_sequence_values(expected), &dump::without_sequence_values(found));
    assert!(differences.is_empty(), "the catalog differs:\n{}", differences.join("\n"));
}

/// Two tests for each case.
macro_rules! tests_of_cases {
    ($($module:ident: $case:expr;)*) => {$(
        mod $module {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn equals_the_plain_alter() {
                super::equals_the_plain_alter(&$case).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn rolls_back_without_losing_a_write() {
                super::rolls_back_without_losing_a_write(&$case).await;
            }
        }
    )*};
}

tests_of_cases! {
    integer_key: super::INTEGER_KEY;
    composite_key: super::COMPOSITE_KEY;
    uuid_key: super::UUID_KEY;
    quoted_names: super::QUOTED_NAMES;
    many_types: super::MANY_TYPES;
}

/// Tests the comparison itself: the twins must stay equal as long as nobody interferes, and every difference must be
/// detected.
mod the_judge {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_table_and_twin_equal_by_itself() {
        for case in [INTEGER_KEY, COMPOSITE_KEY, UUID_KEY, QUOTED_NAMES, MANY_TYPES] {
            let db = TestDb::create("judge").await;
            let table = case.create(&db).await;
            table.fill(&db, 1000).await;
            for truncates in [false, true] {
                let plan = Workload::on(&table).rate(1000);
                let workload = if truncates { plan.with_truncate() } else { plan }.start(&db).await;
                workload.commits(250).await;
                // Also while it runs: both are equal in every snapshot.
                table.assert_equal(&db).await;
                workload.commits(250).await;
                workload.stop().await.assert_clean();
                let rows = table.assert_equal(&db).await;
                assert!(rows > 0, "{} has rows", table.original);
            }
            db.assert_no_deadlock();
            assert_nothing_left(&db).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn notices_a_write_that_is_lost() {
        let db = TestDb::create("judge").await;
        let table = INTEGER_KEY.create(&db).await;
        table.fill(&db, 1000).await;
        db.execute(
            "create function swallow() returns trigger language plpgsql as $$ begin
                 if old.customer % 10 = 0 then return null; else return new; end if;
             end $$;
             create trigger swallow before update on orders for each row execute function swallow()",
        )
        .await;
        let workload = Workload::on(&table).rate(1000).start(&db).await;
        workload.commits(50).await;
        let report = workload.stop().await;
        assert!(!report.errors.is_empty(), "an update that changed no row is an error");
    }

    #[tokio::test]
    async fn notices_rows_that_differ() {
        let db = TestDb::create("judge").await;
        db.execute(
            "create schema twin;
             create table t (id int primary key, body text, n numeric);
             insert into t select i, repeat('x', 2000) || i, 1.0 from generate_series(1, 100) i;
             create table twin.t (n numeric, id bigint, body varchar(4000));
             insert into twin.t select n, id, body from t",
        )
        .await;
        assert_eq!(
            assert_equal(&db, "public.t", "twin.t").await,
            100,
            "the order of columns is no difference"
        );
        for (change, differences) in [
            ("update t set body = overlay(body placing 'y' from 1000) where id = 50", 2),
            ("update t set n = 1.00 where id = 50", 2),
            ("update t set n = null where id = 50", 2),
            ("delete from t where id = 50", 1),
            ("insert into t values (101, 'new', 1)", 1),
            ("alter table t rename body to text", 1),
            ("insert into twin.t select * from twin.t where id = 50", 1),
        ] {
            let client = db.connect().await;
            client.batch_execute(change).await.unwrap();
            let (_, found) = compare(&client, "public.t", "twin.t").await;
            assert_eq!(found.len(), differences, "after {change}: {found:?}");
            db.execute(
                "drop table t; create table t (id int, body text, n numeric);
                 delete from twin.t a using twin.t b where a.id = b.id and a.ctid > b.ctid;
                 insert into t select id, body, n from twin.t",
            )
            .await;
        }
    }

    #[tokio::test]
    async fn notices_what_a_change_of_the_catalog_leaves() {
        let db = TestDb::create("judge").await;
        db.execute("create table t (id int primary key, a int, b text); create role judge_reader").await;
        let mut before = schema_dump(&db).await;
        assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
        for change in [
            "alter table t alter a set statistics 7",
            "alter table t alter a set (n_distinct = 7)",
            "alter table t set (fillfactor = 70)",
            "alter table t replica identity full",
            "cluster t using t_pkey",
            "alter table t add check (a > 0) not valid",
            "alter table t validate constraint t_a_check",
            "grant select on t to judge_reader",
            "grant update (a) on t to judge_reader",
            "comment on column t.b is 'words'",
            "create sequence s owned by t.a",
            "select nextval('s')",
            "create trigger g before update on t for each row execute function suppress_redundant_updates_trigger()",
            "alter table t disable trigger g",
            "create view v as select a, b from t",
            "create publication p for table t",
            "create statistics x on a, b from t",
            "alter table t enable row level security",
            "create policy q on t using (a > 1)",
            "alter table t add c int",
        ] {
            db.execute(change).await;
            let after = schema_dump(&db).await;
            assert!(!diff(&before, &after).is_empty(), "not noticed: {change}");
            before = after;
        }
        let ours = "create schema pgrecast_1; create table pgrecast_1.t (); create schema pgrecast;
            create function pgrecast.f() returns trigger language plpgsql as 'begin return new; end';
            create trigger \"!pgrecast_capture\" after insert on t for each row execute function pgrecast.f();
            alter table t enable always trigger \"!pgrecast_capture\"";
        db.execute(ours).await;
        let after = schema_dump(&db).await;
        assert_eq!(diff(&before, &after), Vec::<String>::new(), "pgrecast's own is left out");
        let left: Vec<String> = db.query_column(include_str!("../support/left_behind.sql")).await;
        assert_eq!(left.len(), 2, "a schema and a trigger are left: {left:?}");
        db.execute("drop table t cascade; drop role judge_reader").await;
    }
}
