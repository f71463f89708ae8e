//! A migration under real traffic, and what verification finds.

use std::process::Stdio;

use crate::support::cluster::bin_directory;
use crate::support::*;
use tokio_postgres::Client;

/// pgbench against a database, until it is stopped.
struct Traffic(tokio::process::Child);

impl Traffic {
    fn start(db: &TestDb, clients: u32) -> Traffic {
        let clients = clients.to_string();
        let child = tokio::process::Command::new(bin_directory().join("pgbench"))
            .args(["-n", "-c", &clients, "-j", "2", "-T", "600", "--max-tries=1"])
            .envs(db.psql_env())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("pgbench starts");
        Traffic(child)
    }

    /// Stops it (not with SIGINT, which background jobs of a shell ignore). It must not have ended before, as it does
    /// on any error.
    async fn stop(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "pgbench ended: a statement failed");
        let pid = self.0.id().unwrap().to_string();
        tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        let output = self.0.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        for word in ["aborted", "ERROR"] {
            assert!(!said.contains(word), "pgbench said: {said}");
        }
    }
}

async fn fill_pgbench(db: &TestDb<'_>, scale: u32) {
    let status = tokio::process::Command::new(bin_directory().join("pgbench"))
        .args(["-q", "-i", "-s", &scale.to_string()])
        .envs(db.psql_env())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(status.success());
}

async fn assert_balanced(db: &TestDb<'_>) {
    let balanced: bool = db
        .query_value(
            "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)",
        )
        .await;
    assert!(balanced, "a write to pgbench_accounts was lost");
}

async fn more_history(db: &TestDb<'_>) {
    let before: i64 = db.query_value("select count(*) from pgbench_history").await;
    wait_until("the traffic continues", async || {
        db.query_value::<i64>("select count(*) from pgbench_history").await > before + 200
    })
    .await;
}

const CHANGE: &str = "alter column aid type bigint, add column note text";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_change_and_change_back_under_traffic() {
    let db = TestDb::create("live").await;
    fill_pgbench(&db, 4).await;
    let before = schema_dump(&db).await;
    let traffic = Traffic::start(&db, 4);
    more_history(&db).await;

    let output = db.pgrecast(&["run", "pgbench_accounts", "--alter", CHANGE, "--json"]).await.expect_code(0);
    let status = output.json();
    assert_eq!(status["phase"], "swapped");
    assert_eq!(status["verify"]["differences"], 0);
    assert!(status["lock"]["held_ms"].is_f64());
    assert!(output.peak_rss_kib < 64 * 1024, "{} kB", output.peak_rss_kib);
    more_history(&db).await;
    assert_balanced(&db).await;

    let verified = db.pgrecast(&["verify", "--json"]).await.expect_code(0).json();
    assert_eq!(verified["verify"]["rows"].as_i64().map(|rows| rows > 390_000), Some(true), "{verified}");

    let back = db.pgrecast(&["rollback", "pgbench_accounts", "--json"]).await.expect_code(0);
    assert_eq!(back.json()["phase"], "rolled_back");
    assert!(back.peak_rss_kib < 64 * 1024);
    more_history(&db).await;
    traffic.stop().await;
    assert_balanced(&db).await;
    db.assert_no_deadlock();

    db.pgrecast(&["cleanup", "pgbench_accounts"]).await.expect_code(0);
    let after = schema_dump(&db).await;
    assert_eq!(diff(&before, &after), Vec::<String>::new());
    assert_nothing_left(&db).await;
}

/// A table whose migration is right before its swap, blocked by a reader.
async fn before_the_swap(db: &TestDb<'_>) {
    db.execute(
        "create table t (id int primary key, v text, n numeric, s serial, up int references t (id));
         create index t_x on t ((v || 'x'));
         insert into t select g, 'v' || g, g / 7.0 from generate_series(1, 5000) g",
    )
    .await;
    let reader = db.connect().await;
    reader.batch_execute("begin; select count(*) from t").await.unwrap();
    let output = db
        .pgrecast(&["run", "t", "--alter", "alter column id type bigint", "--lock-attempts", "1", "--json"])
        .await
        .expect_code(1);
    // The reader's lock does not conflict with capture: only the swap is blocked.
    assert_eq!(output.json()["phase"], "verified", "{}", output.whole());
    reader.batch_execute("rollback").await.unwrap();
}

async fn shadow_schema(db: &TestDb<'_>) -> String {
    db.query_value("select shadow_schema from pgrecast.table_change").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_differs_is_named_and_there_is_no_swap() {
    for (tamper, expected) in [
        ("update {shadow}.t set v = 'v17 ' where id = 17", "id = 17 differs"),
        ("update {shadow}.t set n = n * 1.00 where id = 7", "id = 7 differs"), // equal, another scale
        ("update {shadow}.t set v = null where id = 18", "id = 18 differs"),
        ("delete from {shadow}.t where id = 19", "id = 19 is missing in the copy"),
        ("insert into {shadow}.t values (99999, 'one too many', 0)", "id = 99999 is in the copy only"),
    ] {
        let db = TestDb::create("verify").await;
        before_the_swap(&db).await;
        let shadow = shadow_schema(&db).await;
        db.execute(&tamper.replace("{shadow}", &shadow)).await;
        for _ in 0..2 {
            // Also the second time: a failed verification is recorded.
            let output = db.pgrecast(&["run", "t", "--json"]).await.expect_code(5);
            assert!(output.stderr.contains(expected), "{tamper}: {}", output.whole());
            assert_eq!(output.json()["phase"], "level");
            assert_eq!(output.json()["verify"]["differences"], 1);
        }
        let kind: String = db
            .query_value("select format_type(atttypid, -1) from pg_attribute where attrelid = 't'::regclass and attname = 'id'")
            .await;
        assert_eq!(kind, "integer", "no swap took place");
        db.pgrecast(&["abort", "t"]).await.expect_code(0);
        assert_nothing_left(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_row_that_differs_keeps_the_rollback_from_happening() {
    let db = TestDb::create("verify_back").await;
    before_the_swap(&db).await;
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    let retired: String = db.query_value("select retired_schema from pgrecast.table_change").await;
    db.execute(&format!("update {retired}.t set v = 'x' where id = 5")).await;
    let output = db.pgrecast(&["rollback", "t", "--json"]).await.expect_code(5);
    assert!(output.stderr.contains("id = 5 differs"), "{}", output.whole());
    assert_eq!(output.json()["phase"], "retired_level");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capture_that_ceased_for_a_moment_is_noticed() {
    let db = TestDb::create("capture").await;
    before_the_swap(&db).await;
    db.execute(
        "alter table t disable trigger \"!pgrecast_capture\";
         update t set v = 'unseen' where id = 3;
         alter table t enable always trigger \"!pgrecast_capture\"",
    )
    .await;
    let output = db.pgrecast(&["run", "t", "--json"]).await.expect_code(5);
    assert!(output.stderr.contains("capture triggers"), "{}", output.whole());
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_changed_by_somebody_else_is_noticed() {
    let db = TestDb::create("ddl").await;
    before_the_swap(&db).await;
    for change in some(CHANGES, 0, 3) {
        db.execute(change).await;
        let output = db.pgrecast(&["run", "t", "--json"]).await.expect_code(5);
        assert!(
            output.stderr.contains("another session has changed the definition of public.t"),
            "{change}: {}",
            output.whole()
        );
        db.pgrecast(&["abort", "t"]).await.expect_code(0);
        assert_nothing_left(&db).await;
        db.execute("drop table t").await;
        before_the_swap(&db).await;
    }
    db.execute("vacuum analyze t").await;
    // The same change with the parts in another order.
    db.execute("alter table t   alter s   set default   nextval('t_s_seq'::regclass)").await;
    db.execute("update t set v = 'same'; alter table t add passing int; alter table t drop passing").await;
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
}

/// Swaps the table under a snapshot that is younger than the new table and older than the swap, so that the guard
/// stays. A row was inserted in between.
async fn swapped_under_an_old_snapshot(db: &TestDb<'_>) -> Client {
    let reader = db.connect().await;
    reader.batch_execute("begin; select count(*) from t").await.unwrap();
    let run = db.spawn(&["run", "t", "--snapshot-timeout", "1s", "--old-snapshots", "guard"]);
    wait_until("the run waits for the reader", async || {
        run.stderr_so_far().contains("swap: lock not granted")
    })
    .await;
    db.execute("insert into t values (90001, 'there', 1)").await;
    let old = db.connect().await;
    old.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    reader.batch_execute("rollback").await.unwrap();
    let output = run.wait().await.expect_code(0);
    assert!(output.stderr.contains("the guard stays"), "{}", output.whole());
    old
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_older_than_the_new_table_is_waited_for() {
    let db = TestDb::create("old_snapshot").await;
    db.execute(
        "create table other (a int); create table t (id int primary key, v text);
         insert into t select g, 'v' from generate_series(1, 2000) g",
    )
    .await;
    let app = db.role("app", "grant select, update on t, other to {role}").await;
    let owner = db.owner_role("owner", &["t"]).await;
    // The owner may not see details of the application's sessions; a superuser may.
    for role in [&owner.name, "postgres"] {
        let old = db.connect_as(&app).await;
        old.batch_execute("begin isolation level repeatable read; select count(*) from other").await.unwrap();
        let change = ["run", "t", "--alter", "alter id type bigint"];
        let given_up =
            db.spawn_with(role, &[&change[..], &["--snapshot-timeout", "1s"]].concat(), &[]).wait().await;
        let given_up = given_up.expect_code(1);
        assert!(given_up.stderr.contains("older than the new table is still open"), "{}", given_up.whole());
        assert!(given_up.stderr.contains(&format!("of role {}", app.name)), "{}", given_up.whole());

        let run = db.spawn_with(role, &change, &[]);
        wait_until("it says for whom it waits", async || {
            let status = db.pgrecast(&["status", "t", "--json"]).await.expect_code(0).json();
            assert_eq!(status["phase"], "level");
            status["throttle"]["reason"].as_str().is_some_and(|reason| reason.contains(&app.name))
        })
        .await;
        // It would not see the rows of the new table. It sees all rows of the old one.
        let rows: i64 = old.query_one("select count(*) from t", &[]).await.unwrap().get(0);
        assert_eq!(rows, 2000);
        old.batch_execute("commit").await.unwrap();
        run.wait().await.expect_code(0);
        db.pgrecast(&["rollback", "t"]).await.expect_code(0);
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    }
    assert_nothing_left(&db).await;
    db.execute(&format!("drop owned by {}, {} cascade", owner.name, app.name)).await;
}

/// Changes of the definition of `t` by another session.
const CHANGES: &[&str] = &[
    "alter table t add column late int",
    "comment on column t.v is 'late'",
    "comment on constraint t_pkey on t is 'late'",
    "alter table t set (toast.autovacuum_enabled = off)",
    "grant select on t to public",
    "alter sequence t_s_seq increment 7",
    "grant usage on sequence t_s_seq to public",
    "alter index t_x alter column 1 set statistics 7",
    "create index late on t (v)",
    "alter table t alter s set default 7",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_added_after_the_swap_is_not_lost_by_a_rollback() {
    let db = TestDb::create("late_ddl").await;
    for change in some(CHANGES, 1, 3) {
        before_the_swap(&db).await;
        let old = swapped_under_an_old_snapshot(&db).await;
        db.execute(change).await;
        let output = db.pgrecast(&["rollback", "t"]).await.expect_code(5);
        assert!(output.stderr.contains("a rollback would lose the change"), "{change}: {}", output.whole());
        old.batch_execute("rollback").await.unwrap();
        db.pgrecast(&["run", "t"]).await.expect_code(0);
        db.pgrecast(&["rollback", "t"]).await.expect_code(5);
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
        db.execute("drop table t cascade").await;
    }
    before_the_swap(&db).await;
    db.execute("create table child (t int references t)").await;
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    db.pgrecast(&["run", "t", "--alter", "alter column id type bigint"]).await.expect_code(0);
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncate_before_the_swap_and_after_it_is_brought_over() {
    let db = TestDb::create("truncate").await;
    before_the_swap(&db).await;
    db.execute("insert into t values (9001, 'gone', 1); truncate t; insert into t values (9002, 'there', 2)")
        .await;
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    let rows: Vec<String> = db.query_column("select v from t order by id").await;
    assert_eq!(rows, ["there"]);
    db.execute("insert into t values (9003, 'gone', 1); truncate t; insert into t values (9004, 'back', 2)")
        .await;
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    let rows: Vec<String> = db.query_column("select v from t order by id").await;
    assert_eq!(rows, ["back"]);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_a_replication_role_and_a_backlog_of_many_keys_are_brought_over() {
    let db = TestDb::create("backlog").await;
    db.execute("create table t (id int primary key, v text, n numeric)").await;
    db.execute("insert into t select g, 'v' || g, 1 from generate_series(1, 150000) g").await;
    let reader = db.connect().await;
    reader.batch_execute("begin; select count(*) from t").await.unwrap();
    db.pgrecast(&["run", "t", "--alter", "alter id type bigint", "--lock-attempts", "1"])
        .await
        .expect_code(1);
    // Several batches of keys, updated and with changed keys, by a writer for which ordinary triggers do not fire.
    db.execute("set session_replication_role = replica; update t set n = n + id where id <= 100000").await;
    db.execute("set session_replication_role = replica; update t set id = -id where id % 3 = 0").await;
    db.execute("set session_replication_role = replica; delete from t where id % 100 = 1; set session_replication_role = origin").await;
    let expected: String = db.query_value("select count(*) || ' ' || sum(id) || ' ' || sum(n) from t").await;
    reader.batch_execute("rollback").await.unwrap();
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    let found: String = db.query_value("select count(*) || ' ' || sum(id) || ' ' || sum(n) from t").await;
    assert_eq!(found, expected);
    db.execute("update t set id = -id where id < 0; update t set n = 0").await;
    let expected: String = db.query_value("select count(*) || ' ' || sum(id) || ' ' || sum(n) from t").await;
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    let found: String = db.query_value("select count(*) || ' ' || sum(id) || ' ' || sum(n) from t").await;
    assert_eq!(found, expected);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_snapshot_gets_a_serialization_error_instead_of_an_update_of_nothing() {
    let db = TestDb::create("guard").await;
    before_the_swap(&db).await;
    let old = swapped_under_an_old_snapshot(&db).await;
    let error = old.batch_execute("update t set v = 'mine' where id = 90001").await.unwrap_err();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("40001"));
    old.batch_execute("rollback").await.unwrap();
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    let guards: i64 = db.query_value("select count(*) from pg_trigger where tgname = 'pgrecast_guard'").await;
    assert_eq!(guards, 0, "the guard is dropped when no old snapshot exists");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
