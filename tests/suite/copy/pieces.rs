//! Pieces of a chunk, copied step by step: each is copied once, even if another session works on it.

use pgrecast::copy::{Piece, Worker};
use pgrecast::failpoint::Failpoint;
use pgrecast::run::Gate;
use pgrecast::state::Part;
use pgrecast::state::chunk::{self, Chunk};

use crate::support::*;

const RUN: [&str; 4] = ["run", "t", "--alter", "alter n type bigint"];

/// Ready to be copied, in blocks of about 200 rows.
async fn captured(db: &TestDb<'_>) -> (ByHand, Part) {
    db.execute(
        "create table t (id int primary key, n int);
         insert into t select g, g from generate_series(1, 2000) g",
    )
    .await;
    let hand = ByHand::from(db, &RUN, Failpoint::CopyBegun).await;
    let part = Part::list(&hand.run.control, hand.change.id).await.unwrap().remove(0);
    (hand, part)
}

async fn give_up(db: &TestDb<'_>, hand: ByHand) {
    drop(hand);
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_waits_for_an_orphan_and_goes_on_behind_it() {
    let db = TestDb::create("piece_orphan").await;
    let (hand, part) = captured(&db).await;
    let control = &hand.run.control;
    let chunk = chunk::claim(control, part.id, 4, 1, 1).await.unwrap().unwrap();
    let session = hand.run.sessions.open("copy 1").await.unwrap();
    let worker = Worker::new(&session, Gate::new(0.0), &hand.pair).await.unwrap();
    // Another session has locked the record, and copies the first two blocks.
    let orphan = hand.run.sessions.open("copy 2").await.unwrap();
    orphan.batch_execute("begin").await.unwrap();
    orphan.query_one(&chunk::lock_statement(), &[&chunk.id]).await.unwrap();
    let piece = Chunk { end: 1, ..chunk };
    let copied = tokio::join!(worker.copy(piece), async {
        let waits = "select count(*) from pg_locks where not granted";
        wait_until("the worker waits for the record", async || db.query_value::<i64>(waits).await > 0).await;
        orphan.execute(&chunk::finish_statement(), &[&chunk.id, &2i64, &0i64]).await.unwrap();
        orphan.batch_execute("commit").await.unwrap();
    });
    assert_eq!(copied.0.unwrap(), Piece::Behind(2));
    assert_eq!(hand.count(db.client(), &hand.pair.to).await, 0);
    assert_eq!(worker.copy(Chunk { next: 2, end: 3, ..chunk }).await.unwrap(), Piece::Copied);
    let block_of_both: bool = db
        .query_value(&format!(
            "select count(*) > 0 and count(*) = (select count(*) from t where (ctid::text::point)[0] = 2) from {}",
            hand.pair.to
        ))
        .await;
    assert!(block_of_both, "exactly the rows of one block");
    give_up(&db, hand).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_of_another_file_is_not_copied() {
    let db = TestDb::create("piece_file").await;
    let (hand, part) = captured(&db).await;
    let chunk = chunk::claim(&hand.run.control, part.id, 4, 1, 1).await.unwrap().unwrap();
    let session = hand.run.sessions.open("copy 1").await.unwrap();
    let worker = Worker::new(&session, Gate::new(0.0), &hand.pair).await.unwrap();
    db.execute("vacuum full t").await;
    assert_eq!(worker.copy(chunk).await.unwrap(), Piece::FileChanged);
    assert_eq!(hand.count(db.client(), &hand.pair.to).await, 0);
    give_up(&db, hand).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_between_the_pieces_is_copied_and_in_the_log() {
    let db = TestDb::create("piece_changes").await;
    let (hand, part) = captured(&db).await;
    let chunk = chunk::claim(&hand.run.control, part.id, 4, 1, 1).await.unwrap().unwrap();
    let session = hand.run.sessions.open("copy 1").await.unwrap();
    let worker = Worker::new(&session, Gate::new(0.0), &hand.pair).await.unwrap();
    assert_eq!(worker.copy(Chunk { end: 1, ..chunk }).await.unwrap(), Piece::Copied);
    // The row moves to the end of the table, after the blocks to copy: it is in the log.
    db.execute("update t set n = -1 where id = 1").await;
    assert_eq!(worker.copy(Chunk { next: 1, ..chunk }).await.unwrap(), Piece::Copied);
    let copied: Vec<i64> = db.query_column(&format!("select n from {} where id = 1", hand.pair.to)).await;
    assert_eq!(copied, [1]);
    assert_eq!(hand.count(db.client(), &hand.pair.log).await, 1);
    give_up(&db, hand).await;
}
