//! The log under load: dead rows that an old snapshot keeps are not read again in every round, and no writer loses its
//! segment.

use std::time::Duration;

use crate::support::*;
use tokio_postgres::Client;

const CHANGE: [&str; 4] = ["run", "t", "--alter", "alter id type bigint, drop column gone"];

/// A run that has brought the new table up to date and repeats that every second, because a session (the other value)
/// has an older snapshot.
async fn kept_level(db: &TestDb<'_>, rows: u32) -> (Client, Running) {
    db.execute(&format!(
        "create table t (id int primary key, n int, gone text) with (fillfactor = 50);
         insert into t select g, 0, 'gone' from generate_series(1, {rows}) g"
    ))
    .await;
    let old = db.connect().await;
    old.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    let run = db.spawn(&CHANGE);
    wait_until("it waits for the snapshot", async || {
        run.stderr_so_far().contains("waiting for transactions")
    })
    .await;
    (old, run)
}

/// The highest number of the log's segments.
async fn segments(db: &TestDb<'_>) -> i32 {
    db.query_value("select coalesce(max(number), 0) from pgrecast.segment where store like 'log_%'").await
}

/// The size that rounds read, in MB, without the first segments, which the dump locks.
async fn megabytes(db: &TestDb<'_>) -> i64 {
    db.query_value(
        "select (coalesce(sum(pg_total_relation_size(c.oid)), 0) / 1048576)::int8 from pg_class c
         where c.relnamespace = 'pgrecast'::regnamespace and c.relkind = 'r' and c.relname ~ '^(log|keys)_.*_([2-9]|[0-9]{2,})$'",
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_do_not_read_again_what_a_held_snapshot_keeps() {
    let db = TestDb::create("pressure").await;
    let (holder, run) = kept_level(&db, 200_000).await;
    // Like a dump of the database: a snapshot, and a lock on all tables.
    let tables: String = db
        .query_value("select string_agg(oid::regclass::text, ', ') from pg_class where relnamespace = 'pgrecast'::regnamespace and relkind = 'r'")
        .await;
    holder.batch_execute(&format!("lock table {tables} in access share mode")).await.unwrap();
    // Two million changes of the same rows.
    for _ in 0..10 {
        db.execute("update t set n = n + 1").await;
    }
    wait_until_within(Duration::from_mins(2), "former segments are gone", async || {
        megabytes(&db).await < 100
    })
    .await;
    println!("{} segments made, {} MB left to read", segments(&db).await, megabytes(&db).await);
    holder.batch_execute("rollback").await.unwrap();
    run.wait().await.expect_code(0);
    let held: f64 = db.query_value("select lock_held_ms from pgrecast.table_change").await;
    println!("the swap held its lock {held:.0} ms");
    assert_eq!(db.query_value::<i64>("select sum(n)::int8 from t").await, 10 * 200_000);

    // In the other direction.
    let holder = db.connect().await;
    holder.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    for _ in 0..3 {
        db.execute("update t set n = n + 1").await;
        db.pgrecast(&["run", "t"]).await.expect_code(0);
    }
    let left = megabytes(&db).await;
    assert!(left < 100, "{left} MB");
    holder.batch_execute("rollback").await.unwrap();
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    assert_eq!(db.query_value::<i64>("select sum(n)::int8 from t where gone = 'gone'").await, 13 * 200_000);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
    assert_eq!(db.query_value::<i64>("select count(*) from pgrecast.segment").await, 0);
}

/// Fills the log until it gets another segment.
async fn fill_a_segment(db: &TestDb<'_>) {
    let before = segments(db).await;
    wait_until("another segment is there", async || {
        db.execute("do $$ begin for i in 1..20 loop update t set n = n + 1 where id > 10; end loop; end $$")
            .await;
        segments(db).await > before
    })
    .await;
}

async fn has_first_segment(db: &TestDb<'_>) -> bool {
    db.query_value(
        "select exists (select from pgrecast.segment where store like 'log_forward%' and number = 1)",
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_began_before_keeps_its_segment() {
    let db = TestDb::create("writer").await;
    db.execute(
        "create function held(id int) returns boolean language plpgsql as
             $$ begin perform pg_advisory_xact_lock_shared(44); return true; end $$",
    )
    .await;
    let obstacle = db.connect().await;
    obstacle.batch_execute("begin; select pg_advisory_xact_lock(44)").await.unwrap();
    let (old, run) = kept_level(&db, 20_000).await;
    let writer = db.connect().await;
    let late =
        tokio::spawn(
            async move { writer.batch_execute("update t set n = -1 where id = 5 and held(id)").await },
        );
    wait_until("the statement is under way", async || {
        db.query_value::<i64>("select count(*) from pg_locks where locktype = 'advisory' and not granted")
            .await
            == 1
    })
    .await;
    fill_a_segment(&db).await;
    let rounds = async || db.query_value::<i64>("select rounds from pgrecast.table_change").await;
    let before = rounds().await;
    wait_until("rounds went on, and the first segment could be dropped", async || {
        rounds().await > before + 6
    })
    .await;
    assert!(has_first_segment(&db).await, "the statement may still write to it");
    obstacle.batch_execute("rollback").await.unwrap();
    late.await.unwrap().expect("the application's statement does not fail");
    wait_until("nobody needs it any more", async || !has_first_segment(&db).await).await;
    old.batch_execute("rollback").await.unwrap();
    run.wait().await.expect_code(0);
    assert_eq!(db.query_value::<i32>("select n from t where id = 5").await, -1);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_leaves_segments_with_which_the_next_goes_on() {
    let db = TestDb::create("killed").await;
    let (old, run) = kept_level(&db, 20_000).await;
    fill_a_segment(&db).await;
    run.kill();
    run.wait().await;
    db.execute("update t set n = n + 1; delete from t where id % 2 = 0; update t set n = 7 where id = 1")
        .await;
    let expected: i64 = db.query_value("select sum(n)::int8 from t").await;
    old.batch_execute("rollback").await.unwrap();
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    assert_eq!(db.query_value::<i64>("select sum(n)::int8 from t").await, expected);
    assert_eq!(db.query_value::<i64>("select count(*) from t").await, 10_000);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
