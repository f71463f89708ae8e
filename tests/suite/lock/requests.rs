//! A lock request, step by step: made once, within its time limit, and not at all behind a long transaction.

use std::time::Duration;

use pgrecast::alter::LockMode;
use pgrecast::failpoint::Failpoint;
use pgrecast::lock::{LockPolicy, Locking, Purpose, Request, Target};
use pgrecast::name::QualifiedName;

use crate::support::*;

const RUN: [&str; 4] = ["run", "t", "--alter", "alter n type bigint"];

const POLICY: LockPolicy = LockPolicy {
    lock_timeout: Duration::from_millis(200),
    max_lock_time: Duration::from_millis(300),
    attempts: 10,
    kill_blockers_after: None,
};

/// Waiting and granted requests on the two tables in the strongest mode.
async fn locks(db: &TestDb<'_>) -> (i64, i64) {
    let count = async |condition: &str| {
        db.query_value::<i64>(&format!(
            "select count(*) from pg_locks where relation in ('t'::regclass, 'u'::regclass)
             and mode = 'AccessExclusiveLock' and {condition}"
        ))
        .await
    };
    (count("not granted").await, count("granted").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_all_its_tables_or_none_and_leaves_nobody_waiting() {
    let db = TestDb::create("request").await;
    db.execute("create table t (id int primary key, n int); create table u (a int)").await;
    let hand = ByHand::from(&db, &RUN, Failpoint::Shadowed).await;
    let oid = async |name: &str| db.query_value::<u32>(&format!("select '{name}'::regclass::oid")).await;
    let target = async |name: &str| Target::table(&QualifiedName::new("public", name), oid(name).await);
    let request = Request { targets: vec![target("t").await, target("u").await], mains: vec![0] };
    let mut locking = Locking::new(&hand.run, &[hand.change.id], Purpose::Swap, POLICY);

    // A young transaction uses the second table, so the lock is requested.
    let reader = db.connect().await;
    reader.batch_execute("begin; select from u").await.unwrap();
    let granted = locking.try_acquire(&request, LockMode::AccessExclusive).await.unwrap();
    assert!(!granted);
    assert_eq!(locks(&db).await, (0, 0), "the first table is free again, and nothing waits");
    assert_eq!(locking.story.attempts, 1);
    assert!(locking.story.blockers.concat().contains("idle in transaction"), "{:?}", locking.story.blockers);

    // Now it is a long transaction: it is detected, and nothing is requested.
    wait_until("the transaction is long", async || {
        db.query_value::<bool>(
            "select bool_or(clock_timestamp() - xact_start > interval '1100 ms') from pg_stat_activity
             where state = 'idle in transaction' and datname = current_database()",
        )
        .await
    })
    .await;
    let waited = locking.story.waited;
    assert!(!locking.try_acquire(&request, LockMode::AccessExclusive).await.unwrap());
    assert_eq!(locking.story.waited, waited, "nothing was requested");

    reader.batch_execute("commit").await.unwrap();
    assert!(locking.try_acquire(&request, LockMode::AccessExclusive).await.unwrap());
    assert_eq!(locks(&db).await, (0, 2));
    // The transaction that holds them has no snapshot yet, and the server limits its duration.
    let limits: String = hand
        .run
        .control
        .query_one("select current_setting('statement_timeout') || ' ' || current_setting('idle_in_transaction_session_timeout')", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(limits, "300ms 300ms");
    hand.run.control.batch_execute("rollback").await.unwrap();
    drop(locking);
    drop(hand);
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tables_are_locked_in_one_request_without_saying_one_twice() {
    let db = TestDb::create("requests").await;
    db.execute("create table t (id int primary key, n int); create table u (a int)").await;
    let (t, u) = (QualifiedName::new("public", "t"), QualifiedName::new("public", "u"));
    let oids: Vec<u32> =
        db.query_column("select c.oid from pg_class c where relname in ('t', 'u') order by relname").await;
    let one =
        Request { targets: vec![Target::table(&u, oids[1]), Target::table(&t, oids[0])], mains: vec![1] };
    let other = Request::table(&u, oids[1]);
    let all = Request::all([&one, &other]);
    let names: Vec<String> = all.targets.iter().map(|target| target.name.shown()).collect();
    assert_eq!(names, ["public.u", "public.t"]);
    assert_eq!(all.mains, [1, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_stands_still_when_its_lock_is_granted_holds_nobody() {
    let db = TestDb::create("frozen").await;
    db.execute("create table t (id int primary key, n int)").await;
    let hand = ByHand::from(&db, &RUN, Failpoint::Shadowed).await;
    let oid: u32 = db.query_value("select 't'::regclass::oid").await;
    let request = Request::table(&QualifiedName::new("public", "t"), oid);
    let mut locking = Locking::new(&hand.run, &[hand.change.id], Purpose::Swap, POLICY);
    assert!(locking.try_acquire(&request, LockMode::AccessExclusive).await.unwrap());
    // Nothing more is said: the server ends the session, and who waits goes on.
    db.execute("insert into t values (1, 1)").await;
    wait_until("the session is over", async || hand.run.control.is_closed()).await;
    drop(locking);
    drop(hand);
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
