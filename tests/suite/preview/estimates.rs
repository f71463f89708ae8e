//! Compares the disk and WAL estimates of `plan --sample` with the actual use of a run.

use crate::support::{Cluster, TestDb, schema_dump};
use serde_json::Value;

async fn wal(db: &TestDb<'_>) -> f64 {
    db.query_value("select (pg_current_wal_insert_lsn() - '0/0')::float8").await
}

fn expect_within(what: &str, truth: f64, span: &Value) {
    let end = |name: &str| span[name].as_f64().unwrap();
    let is_within = truth >= end("low") && truth <= end("high");
    assert!(is_within, "{what}: {truth} is not in {span}");
    assert!(end("high") / end("low") < 2.0, "{what}: {span} says nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_says_what_a_run_takes() {
    let cluster = Cluster::start(&["autovacuum=off"]);
    for (name, table, change) in [
        (
            "rows",
            "create table t (id int primary key, customer int, note text, at timestamptz);
             insert into t select g, g * 7919 % 100000, repeat('x', g % 90), now() from generate_series(1, 200000) g;
             create index on t (customer); create index on t (at)",
            "alter column id type bigint",
        ),
        (
            "toast",
            "create table t (id int primary key, doc text);
             alter table t alter doc set storage external;
             insert into t select g, repeat(md5(g::text), 200) from generate_series(1, 6000) g",
            "alter column id type bigint",
        ),
        (
            "bloat",
            "create table t (id int primary key, n int, note text) with (fillfactor = 30);
             insert into t select g, g, repeat('y', 60) from generate_series(1, 100000) g",
            "alter column n type bigint, set (fillfactor = 100)",
        ),
    ] {
        let db = TestDb::create_in(&cluster, name).await;
        db.execute(table).await;
        db.execute("vacuum analyze t").await;
        db.execute("checkpoint").await;
        let before = schema_dump(&db).await;
        let plan = ["plan", "t", "--alter", change, "--sample", "--json"];
        let estimate = db.pgrecast(&plan).await.expect_code(0).json()["estimate"].clone();
        assert_eq!(estimate["basis"], "sample");
        assert_eq!(schema_dump(&db).await, before);
        let begun = wal(&db).await;
        db.pgrecast(&["run", "t", "--alter", change]).await.expect_code(0);
        let written = wal(&db).await - begun;
        let size: i64 = db.query_value("select pg_total_relation_size('t')").await;
        expect_within(&format!("{name}: disk"), size as f64, &estimate["disk_bytes"]);
        expect_within(&format!("{name}: WAL"), written, &estimate["wal_bytes"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_nothing_and_of_what_does_not_fit() {
    let db = TestDb::create("no_sample").await;
    db.execute("create table t (id int primary key, code text)").await;
    let plan = |change| ["plan", "t", "--alter", change, "--sample", "--json"];
    let empty = db.pgrecast(&plan("alter id type bigint")).await.expect_code(0).json();
    assert_eq!(empty["estimate"]["basis"], "catalog");
    db.execute("insert into t select g, 'x' from generate_series(1, 100) g").await;
    let change = plan("alter code type int using code::int");
    let misfit = db.pgrecast(&[&change[..], &["--reverse", "code=code::text"]].concat()).await.expect_code(5);
    assert!(misfit.stderr.contains("--check-data"), "{}", misfit.whole());
    let in_place =
        db.pgrecast(&[&plan("add x int")[..], &["--strategy", "auto"]].concat()).await.expect_code(0);
    assert_eq!(in_place.json()["estimate"]["basis"], "catalog");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_written_to_a_lot_is_named() {
    let db = TestDb::create("hot").await;
    db.execute(
        "create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 1000) g;
         create table hot (id int primary key, n int); select pg_stat_reset()",
    )
    .await;
    let writer = db.connect().await;
    writer.batch_execute("insert into hot select g, g from generate_series(1, 600000) g").await.unwrap();
    drop(writer); // a session flushes its counters when it ends
    let counted = "select pg_stat_get_tuples_inserted('hot'::regclass) >= 600000";
    crate::support::wait_until("the server has counted them", async || db.query_value::<bool>(counted).await)
        .await;
    for (table, is_hot) in [("t", false), ("hot", true)] {
        let plan = ["plan", table, "--alter", "alter id type bigint", "--json"];
        let risks = db.pgrecast(&plan).await.expect_code(0).json()["risks"].clone();
        let has = |code: &str| risks.as_array().unwrap().iter().any(|risk| risk["code"] == code);
        assert_eq!(has("hot-table"), is_hot, "{risks}");
        assert!(!has("disk-space"), "{risks}");
    }
}
