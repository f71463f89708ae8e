//! Slices of the comparison, step by step: a difference is a pending change, or is reported.

use pgrecast::failpoint::Failpoint;
use pgrecast::replay;
use pgrecast::verify::{Slice, Verified, verify_slice};

use crate::support::*;

const RUN: [&str; 4] = ["run", "t", "--alter", "alter n type bigint"];

async fn level(db: &TestDb<'_>) -> ByHand {
    db.execute(
        "create table t (id int primary key, n int);
         insert into t select g, g from generate_series(1, 1000) g",
    )
    .await;
    ByHand::from(db, &RUN, Failpoint::Level).await
}

/// All slices in turn.
async fn compare(hand: &ByHand, of: i64) -> Verified {
    let mut all = Verified::default();
    for number in 0..of {
        let found = verify_slice(&hand.run.control, &hand.pair, Slice { number, of }).await.unwrap();
        all.rows += found.rows;
        all.pending = all.pending.max(found.pending);
        all.differences += found.differences;
        all.examples.extend(found.examples);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_change_is_no_difference_and_a_row_of_ours_that_was_touched_is() {
    let db = TestDb::create("slices").await;
    let hand = level(&db).await;
    for of in [1, 7] {
        assert_eq!(compare(&hand, of).await, Verified { rows: 1000, ..Verified::default() });
    }
    let open = db.connect().await;
    open.batch_execute("begin; update t set n = 0 where id = 1").await.unwrap();
    db.execute(
        "update t set n = -2 where id = 2; delete from t where id = 3; insert into t values (1001, 1)",
    )
    .await;
    for of in [1, 7] {
        let found = compare(&hand, of).await;
        assert_eq!((found.rows, found.pending, found.differences), (998, 3, 0), "{found:?}");
    }
    // The same rows differ if no change of them is in the log.
    db.execute(&format!("delete from {}", hand.pair.log)).await;
    for of in [1, 7] {
        let found = compare(&hand, of).await;
        assert_eq!((found.pending, found.differences), (0, 3), "{found:?}");
        let mut named = found.examples.join("; ");
        for key in ["id = 1001", "id = 2", "id = 3"] {
            assert!(named.contains(key), "{key} is not in {named}");
            named = named.replacen(key, "", 1);
        }
    }
    drop(open);
    drop(hand);
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_compares_in_one_snapshot() {
    let db = TestDb::create("slice_snapshot").await;
    let hand = level(&db).await;
    // A change that commits while the slice waits for its locks is visible with its entry, or not at all.
    let obstacle = db.connect().await;
    obstacle
        .batch_execute("begin; lock table t in access exclusive mode; update t set n = -1")
        .await
        .unwrap();
    let compared = tokio::join!(compare(&hand, 1), async {
        let waits = "select count(*) from pg_locks where not granted and relation = 't'::regclass";
        wait_until("the slice waits for the table", async || db.query_value::<i64>(waits).await == 1).await;
        obstacle.batch_execute("commit").await.unwrap();
    });
    assert_eq!((compared.0.rows, compared.0.pending, compared.0.differences), (0, 1000, 0));
    replay::round(&hand.run.control, &hand.pair).await.unwrap();
    assert_eq!(compare(&hand, 3).await, Verified { rows: 1000, ..Verified::default() });
    drop(hand);
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
