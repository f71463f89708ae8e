//! Snapshots older than the swap: waited for, or told by an error that they are too old. None reads or writes wrong in
//! silence where a trigger can say so.

use futures::TryStreamExt;
use pgrecast::failpoint::Failpoint;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::support::*;

const CHANGE: [&str; 4] = ["run", "t", "--alter", "alter column id type bigint"];

async fn fill(db: &TestDb<'_>) {
    db.execute(
        "create table other (a int); insert into other values (1);
         create table t (id int primary key, v int);
         insert into t select g, 0 from generate_series(1, 1000) g;
         create table child (id int primary key, t int references t)",
    )
    .await;
}

/// A transaction that has taken its snapshot and has not come to the table.
async fn with_snapshot(db: &TestDb<'_>, level: &str) -> Client {
    let client = db.connect().await;
    client.batch_execute(&format!("begin isolation level {level}; select from other")).await.unwrap();
    client
}

async fn end(db: &TestDb<'_>) {
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_began_after_the_comparison_is_waited_for_and_reads_right() {
    for level in ["repeatable read", "serializable"] {
        let db = TestDb::create("after_verify").await;
        fill(&db).await;
        let stopped = format!("{}:1:stop", Failpoint::VerificationWritten.as_str());
        let run = db.spawn_with("postgres", &CHANGE, &[("PGRECAST_FAILPOINT", &stopped)]);
        let written = "select coalesce(max(verified_rows), 0) from pgrecast.table_change";
        wait_until("all rows are compared", async || {
            db.query_value::<bool>("select to_regclass('pgrecast.table_change') is not null").await
                && db.query_value::<i64>(written).await == 1000
        })
        .await;
        // Seen by its snapshot, and brought over after the comparison.
        db.execute("insert into t values (1001, 1)").await;
        let old = with_snapshot(&db, level).await;
        run.signal("CONT");
        wait_until("the run says for whom it waits", async || {
            run.stderr_so_far().contains("waiting for transactions older than the new table")
        })
        .await;
        let rows: i64 = old.query_one("select count(*) from t", &[]).await.unwrap().get(0);
        assert_eq!(rows, 1001, "{level}");
        old.batch_execute("commit").await.unwrap();
        run.wait().await.expect_code(0);
        end(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_queued_with_a_stale_snapshot_gets_an_error_and_loses_no_write() {
    let db = TestDb::create("queued").await;
    fill(&db).await;
    let stopped = format!("{}:1:stop", Failpoint::SwapReady.as_str());
    let arguments = [&CHANGE[..], &["--max-lock-time", "1min"]].concat();
    let run = db.spawn_with("postgres", &arguments, &[("PGRECAST_FAILPOINT", &stopped)]);
    let original: u32 = db.query_value("select 't'::regclass::oid").await;
    wait_until("the swap is ready to commit", async || {
        db.query_value::<bool>("select exists (select from pg_locks where locktype = 'relation' and mode = 'ShareRowExclusiveLock'
             and relation = 'child'::regclass and granted)").await
    })
    .await;
    // COPY takes its snapshot before it locks the table, in READ COMMITTED too.
    let writer = db.connect().await;
    let copied = tokio::spawn(async move {
        let rows = writer.copy_out("copy (update t set v = 1 where id <= 10 returning id) to stdout").await?;
        rows.try_collect::<Vec<_>>().await.map(|_| ())
    });
    wait_until("it queues for the table", async || {
        db.query_value::<bool>(&format!(
            "select exists (select from pg_locks where relation = {original} and not granted)"
        ))
        .await
    })
    .await;
    run.signal("CONT");
    let error = copied.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{error:?}");
    run.wait().await.expect_code(0);
    // Tried again, it does what it says.
    db.execute("update t set v = 1 where id <= 10").await;
    assert_eq!(db.query_value::<i64>("select count(*) from t where v = 1").await, 10);
    end(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_under_an_older_snapshot_gets_a_serialization_failure() {
    let db = TestDb::create("guarded").await;
    fill(&db).await;
    let writes = [
        "insert into t values (2001, 1)",
        "update t set v = 1 where id = 1",
        "delete from t where id = 1",
        "truncate t, child",
        "insert into child values (1, 1)",
    ];
    let mut old = Vec::new();
    for _ in writes {
        old.push(with_snapshot(&db, "repeatable read").await);
    }
    let guard = ["--old-snapshots", "guard", "--snapshot-timeout", "1s"];
    let output = db.pgrecast(&[&CHANGE[..], &guard].concat()).await.expect_code(0);
    assert!(output.stderr.contains("going on in spite of older transactions"), "{}", output.whole());
    assert!(output.stderr.contains("the guard stays"), "{}", output.whole());
    for (client, write) in old.iter().zip(writes) {
        let error = client.batch_execute(write).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{write}: {error:?}");
    }
    drop(old);
    db.execute("insert into t values (2001, 1); insert into child values (1, 2001)").await;
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    assert_eq!(
        db.query_value::<i64>("select count(*) from pg_trigger where tgname ~ 'pgrecast_guard'").await,
        0
    );
    end(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_may_choose_not_to_wait() {
    let db = TestDb::create("no_wait").await;
    fill(&db).await;
    let old = with_snapshot(&db, "repeatable read").await;
    let output = db.pgrecast(&[&CHANGE[..], &["--old-snapshots", "fail"]].concat()).await.expect_code(1);
    assert!(output.stderr.contains("older than the new table is still open"), "{}", output.whole());
    assert!(!output.stderr.contains("waiting for"), "{}", output.whole());
    drop(old);
    db.pgrecast(&CHANGE).await.expect_code(0);
    end(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_snapshot_is_as_old_as_the_one_it_was_exported_from() {
    let db = TestDb::create("imported").await;
    fill(&db).await;
    let exporter = with_snapshot(&db, "repeatable read").await;
    let name: String = exporter.query_one("select pg_export_snapshot()", &[]).await.unwrap().get(0);
    let run = db.spawn(&CHANGE);
    let is_waited_for =
        async || run.stderr_so_far().contains("waiting for transactions older than the new table");
    wait_until("the exporter is waited for", is_waited_for).await;
    // Begun after the point that is waited for, and older than it all the same.
    let importer = db.connect().await;
    importer
        .batch_execute(&format!(
            "begin isolation level repeatable read; set transaction snapshot '{name}'; select from other"
        ))
        .await
        .unwrap();
    let waits_for = async |pid: i32| -> bool {
        let reason = "select coalesce(max(waiting_for), '') from pgrecast.migration";
        db.query_value::<String>(reason).await.contains(&format!("pid {pid} "))
    };
    let pid = async |client: &Client| -> i32 {
        client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0)
    };
    let (exports, imports) = (pid(&exporter).await, pid(&importer).await);
    exporter.batch_execute("commit").await.unwrap();
    wait_until("the importer is waited for", async || waits_for(imports).await && !waits_for(exports).await)
        .await;
    let rows: i64 = importer.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1000);
    importer.batch_execute("commit").await.unwrap();
    run.wait().await.expect_code(0);
    end(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_imported_while_the_swap_waits_is_waited_for_before_the_swap() {
    let db = TestDb::create("imported_late").await;
    fill(&db).await;
    let reader = db.connect().await;
    reader.batch_execute("begin; select from t limit 0").await.unwrap();
    let run = db.spawn(&CHANGE);
    wait_until("the swap is tried", async || run.stderr_so_far().contains("swap: lock not granted")).await;
    let exporter = with_snapshot(&db, "repeatable read").await;
    let name: String = exporter.query_one("select pg_export_snapshot()", &[]).await.unwrap().get(0);
    let waits_for = async |client: &Client| -> bool {
        let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        let reason = "select coalesce(max(waiting_for), '') from pgrecast.migration";
        db.query_value::<String>(reason).await.contains(&format!("pid {pid} "))
    };
    wait_until("the exporter is waited for", async || waits_for(&exporter).await).await;
    // Begun after the point that is waited for now, and no other point follows before the swap.
    let importer = db.connect().await;
    let import = format!(
        "begin isolation level repeatable read; set transaction snapshot '{name}'; select from other"
    );
    importer.batch_execute(&import).await.unwrap();
    reader.batch_execute("commit").await.unwrap();
    exporter.batch_execute("commit").await.unwrap();
    drop(exporter);
    wait_until("the importer is waited for", async || waits_for(&importer).await).await;
    assert_eq!(db.query_value::<String>("select phase::text from pgrecast.migration").await, "verified");
    importer.batch_execute("commit").await.unwrap();
    run.wait().await.expect_code(0);
    end(&db).await;
}
