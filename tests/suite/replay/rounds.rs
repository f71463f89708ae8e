//! Rounds, step by step: a round replays what its snapshot sees, and nothing else.

use pgrecast::failpoint::Failpoint;
use pgrecast::replay::{self, Which};

use crate::support::*;

const RUN: [&str; 4] = ["run", "t", "--alter", "alter n type bigint"];

/// Indexed and captured, with 100 rows whose `n` is their `id`.
async fn indexed(db: &TestDb<'_>) -> ByHand {
    db.execute(
        "create table t (id int primary key, n int);
         insert into t select g, g from generate_series(1, 100) g",
    )
    .await;
    ByHand::from(db, &RUN, Failpoint::Indexed).await
}

async fn shadow(db: &TestDb<'_>, hand: &ByHand, condition: &str) -> Vec<String> {
    db.query_column(&format!("select id || ' ' || n from {} where {condition} order by id", hand.pair.to))
        .await
}

async fn give_up(db: &TestDb<'_>, hand: ByHand) {
    drop(hand);
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_commits_after_the_snapshot_is_left_to_the_next_round() {
    let db = TestDb::create("round_later").await;
    let hand = indexed(&db).await;
    let control = &hand.run.control;
    db.execute("update t set n = -1 where id = 1").await;
    // The snapshot is taken; then another session changes the same row, and another one.
    control.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    db.execute("update t set n = -2 where id in (1, 2)").await;
    let round = replay::round_in_transaction(control, &hand.pair).await.unwrap();
    control.batch_execute("commit").await.unwrap();
    assert_eq!((round.entries, round.keys), (1, 1));
    assert_eq!(shadow(&db, &hand, "id < 3").await, ["1 -1", "2 2"]);
    assert_eq!(hand.count(db.client(), &hand.pair.log).await, 2);
    replay::round(control, &hand.pair).await.unwrap();
    assert_eq!(shadow(&db, &hand, "id < 3").await, ["1 -2", "2 -2"]);
    assert_eq!(hand.count(db.client(), &hand.pair.log).await, 0);
    give_up(&db, hand).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_commits_late_is_not_lost_to_one_that_came_after_it() {
    let db = TestDb::create("round_late").await;
    let hand = indexed(&db).await;
    let slow = db.connect().await;
    // Its entry is the first in the log, and commits last.
    slow.batch_execute("begin; update t set n = -1 where id = 1").await.unwrap();
    db.execute("update t set n = -2 where id = 2").await;
    replay::round(&hand.run.control, &hand.pair).await.unwrap();
    assert_eq!(shadow(&db, &hand, "n < 0").await, ["2 -2"]);
    slow.batch_execute("commit").await.unwrap();
    replay::round(&hand.run.control, &hand.pair).await.unwrap();
    assert_eq!(shadow(&db, &hand, "n < 0").await, ["1 -1", "2 -2"]);
    give_up(&db, hand).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_undone_is_not_brought_over() {
    let db = TestDb::create("round_undone").await;
    let hand = indexed(&db).await;
    db.execute(
        "begin; update t set n = -1 where id = 1; rollback;
         begin; update t set n = -2 where id = 2; savepoint s; delete from t where id = 3; rollback to s; commit",
    )
    .await;
    let round = replay::round(&hand.run.control, &hand.pair).await.unwrap();
    assert_eq!(round.keys, 1);
    assert_eq!(shadow(&db, &hand, "id < 4").await, ["1 1", "2 -2", "3 3"]);
    give_up(&db, hand).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drained_keys_wait_in_the_set_and_an_open_transaction_s_in_the_log() {
    let db = TestDb::create("drain").await;
    let hand = indexed(&db).await;
    let open = db.connect().await;
    open.batch_execute("begin; update t set n = -1 where id = 1").await.unwrap();
    // A row that is changed three times, and a row whose key changes: that has two keys.
    for n in 1..=3 {
        db.execute(&format!("update t set n = -{n} where id = 2")).await;
    }
    db.execute("update t set id = 1000 where id = 3").await;
    replay::drain(&hand.run.control, &hand.pair, Which::All).await.unwrap();
    assert_eq!(hand.count(db.client(), &hand.pair.keys).await, 3);
    assert_eq!(hand.count(db.client(), &hand.pair.log).await, 0);
    assert_eq!(hand.count(&open, &hand.pair.log).await, 1);
    assert_eq!(shadow(&db, &hand, "id < 4").await, ["1 1", "2 2", "3 3"], "nothing is replayed yet");
    open.batch_execute("commit").await.unwrap();
    replay::round(&hand.run.control, &hand.pair).await.unwrap();
    assert_eq!(shadow(&db, &hand, "id < 4 or id = 1000").await, ["1 -1", "2 -3", "1000 3"]);
    give_up(&db, hand).await;
}
