//! `--order-by`: rows are stored in the order of an index, and none is lost.

use crate::support::ending::{Ending, Executioner, is_stopped};
use crate::support::twin::{Column, Key, Values};
use crate::support::{Cluster, Table, TestDb, Workload, assert_nothing_left, some, wait_until};
use pgrecast::failpoint::Failpoint as P;

const DEFINITION: &str = "
    create table {table} (
        id int primary key,
        customer int not null,
        name text not null,
        code text not null unique,
        counter int not null default 0
    );
    create index on {table} (customer);
    create index on {table} (name, customer)";

const ROWS: u64 = 12_000;

async fn create(db: &TestDb<'_>) -> Table {
    let columns = [
        Column::new("customer", Values::Int),
        Column::new("name", Values::Text),
        Column::new("code", Values::UniqueText),
        Column::new("counter", Values::Counter),
    ];
    let table = Table::create(db, "t", DEFINITION, Key::Int("id"), &columns).await;
    table.fill(db, ROWS).await;
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_row_comes_once_whatever_changes_and_whoever_dies() {
    // torture.rs has the other two ways to end a run, and the test below the other types.
    for (ending, order) in some([(Ending::Kill, "customer"), (Ending::Crash, "name")], 0, 2) {
        let cluster = Cluster::start(&[]);
        let mut db = TestDb::create_in(&cluster, "order").await.with_little_as_much();
        let table = create(&db).await;
        let workload = Workload::on(&table).outliving_the_server().start(&db).await;
        let alter = "alter column id type bigint";
        let run = ["run", "t", "--alter", alter, "--order-by", order, "--chunk-time", "1ms", "--json"];
        let mut executioner = Executioner::of(&mut db).await;
        for (point, pass) in
            [(P::ChunkClaimed, 1), (P::ChunkCopied, 1), (P::ChunkCopied, 1), (P::ChunkClaimed, 1)]
        {
            let ended = executioner.end_at(&run, point, pass, ending).await;
            assert!(ended.is_some(), "{order}: never reached {point:?}");
            workload.commits(3).await;
        }
        executioner.db.pgrecast(&run).await.expect_code(0);
        workload.commits(3).await;
        workload.stop().await.assert_clean();
        drop(executioner);
        db.execute(&format!("alter table {} {alter}", table.twin)).await;
        assert!(table.assert_equal(&db).await > 0);
        db.assert_no_deadlock();
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
        assert_nothing_left(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_lie_in_that_order() {
    let db = TestDb::create("lie").await;
    db.execute(
        "create table t (id int primary key, customer int not null, name text not null, note text);
         insert into t select g, g * 7919 % 997, 'n' || g * 31 % 5000, repeat('x', g % 50) from generate_series(1, 30000) g;
         create index by_customer on t (customer);
         create index \"By Name\" on t (name, customer);
         create index backwards on t (name desc); create index loose on t (note); create index part on t (customer) where id > 5",
    )
    .await;
    // The order of an index with the column's collation.
    for (order, sorted) in [
        ("by_customer", "customer, id"),
        ("\"By Name\"", "name, customer, id"),
        ("name", "name, customer, id"),
        ("t_pkey", "id"),
        ("customer", "customer, id"),
    ] {
        db.pgrecast(&[
            "run",
            "t",
            "--rebuild",
            "--order-by",
            order,
            "--where",
            "id % 10 > 0",
            "--allow-row-loss",
        ])
        .await
        .expect_code(0);
        // A row that is a little longer than its neighbours may be one page later.
        let share: f64 = db
            .query_value(&format!(
                "select count(*) filter (where row({sorted}) < lag)::float8 / count(*) from
                     (select *, lag(row({sorted})) over (order by ctid) from t) n"
            ))
            .await;
        assert!(share < 0.02, "{order}: {share}");
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    }
    for order in ["backwards", "loose", "part", "nosuch", "customer,id", "note"] {
        let output = db.pgrecast(&["run", "t", "--rebuild", "--order-by", order]).await.expect_code(3);
        assert!(
            output.stderr.contains(&format!("--order-by {}", order.replace(',', ", "))),
            "{}",
            output.whole()
        );
    }
    db.pgrecast(&["run", "t", "--rebuild", "--order-by", "a.b"]).await.expect_code(2);
    let plan = ["plan", "t", "--alter", "add x int", "--order-by", "id", "--strategy", "auto", "--json"];
    assert_eq!(db.pgrecast(&plan).await.expect_code(0).json()["strategy"], "copy");
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_emptied_or_rewritten_meanwhile_is_begun_anew() {
    for meddling in ["truncate t; insert into t select g, 1 from generate_series(5, 20) g", "vacuum full t"] {
        let db = TestDb::create("emptied").await;
        db.execute("create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 20000) g")
            .await;
        let run = ["run", "t", "--rebuild", "--order-by", "id", "--chunk-time", "1ms", "--nice-ratio", "0"];
        let running = db.spawn_with("postgres", &run, &[("PGRECAST_FAILPOINT", "chunk-copied:2:stop")]);
        wait_until("some rows are copied", async || running.has_ended() || is_stopped(running.pid())).await;
        db.execute(meddling).await;
        let rows: i64 = db.query_value("select count(*) from t").await;
        running.signal("CONT");
        running.wait().await.expect_code(0);
        let after: i64 = db.query_value("select count(*) from t").await;
        assert_eq!(after, rows, "{meddling}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_exact_for_every_type_that_is_taken() {
    let db = TestDb::create("types").await;
    for (kind, value) in [
        ("char(6)", "(array['a', 'ab', 'abc', '', E'a\\t'])[1 + g % 5]"),
        ("bit(8)", "(g % 200)::bit(8)"),
        ("numeric", "case g % 3 when 0 then 'NaN' when 1 then 1.0 else 1.00 end"),
        ("timestamptz(3)", "now() + g % 100 * interval '0.123456 s'"),
        ("interval", "g % 100 * interval '1 mon 0.001 s'"),
        ("bytea", "decode(md5((g % 50)::text), 'hex')"),
    ] {
        db.execute(&format!(
            "drop table if exists t; create table t (id char(10) primary key, k {kind} not null);
             insert into t select 'k' || g, {value} from generate_series(1, 6000) g; create index on t (k)"
        ))
        .await;
        let run = ["run", "t", "--order-by", "k", "--chunk-time", "1ms", "--nice-ratio", "0", "--json"];
        let status = db.pgrecast(&run).await.expect_code(0).json();
        assert_eq!(status["rows_copied"], 6000, "{kind}: {status}");
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    }
    for (kind, value) in [("float8", "random()"), ("int[]", "array[g]"), ("text collate folding", "'a'")] {
        db.execute(&format!(
            "drop table if exists t; drop collation if exists folding;
             create collation folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             create table t (id int primary key, k {kind} not null); insert into t select g, {value} from generate_series(1, 9) g;
             create index on t (k)"
        ))
        .await;
        let output = db.pgrecast(&["run", "t", "--order-by", "k"]).await.expect_code(3);
        assert!(output.stderr.contains("of an ordinary type"), "{}", output.whole());
        assert!(output.stderr.contains("no-order"), "{}", output.whole());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_one_value_are_said() {
    let db = TestDb::create("coarse").await;
    db.execute(
        "create table t (id int primary key, k int not null, v int not null);
         insert into t select g, 0, g % 1000 from generate_series(1, 50000) g;
         create index on t (k); create index on t (v); create index on t (k, id)",
    )
    .await;
    db.execute("analyze t").await;
    for (order, is_coarse) in [("k", true), ("v", false), ("k,id", false)] {
        let plan = db.pgrecast(&["plan", "t", "--order-by", order, "--json"]).await.expect_code(0).json();
        let has = plan["risks"].as_array().unwrap().iter().any(|risk| risk["code"] == "coarse-order");
        assert_eq!(has, is_coarse, "{order}: {plan}");
    }
    let shown =
        db.pgrecast(&["plan", "t", "--order-by", "k,id", "--where", "v > 5"]).await.expect_code(0).stdout;
    assert!(
        shown.contains("copied in the order of k,id") && shown.contains("only rows where v > 5"),
        "{shown}"
    );
}
