//! Rows that move while ranges of blocks are copied.

use crate::support::*;

/// One row fills a block; the middle chunk of the copy waits for the advisory lock.
async fn wide_table(db: &TestDb<'_>) {
    db.execute(
        "create table t (id int primary key, n int, v text);
         alter table t alter v set storage plain;
         insert into t select g, g, repeat('x', 7000) from generate_series(1, 8000) g;
         delete from t where id between 7000 and 7900;
         create function held(n int) returns bigint immutable language plpgsql as $$
             begin
                 if n = 3000 then perform pg_advisory_xact_lock_shared(42); end if;
                 return n;
             end $$",
    )
    .await;
    db.execute("vacuum t").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_moves_to_a_later_block_is_there_once() {
    let db = TestDb::create("moves").await;
    wide_table(&db).await;
    let obstacle = db.connect().await;
    obstacle.batch_execute("begin; select pg_advisory_xact_lock(42)").await.unwrap();
    let running =
        db.spawn(&["run", "t", "--alter", "alter n type bigint using held(n)", "--jobs", "1", "--json"]);
    wait_until("a part is held", async || {
        db.query_value::<i64>("select count(*) from pg_locks where locktype = 'advisory' and not granted")
            .await
            == 1
    })
    .await;
    let held: i64 = db.query_value("select max(next_block) from pgrecast.chunk").await;
    assert!(held > 0, "rows before it are copied");
    // Copied rows move behind the blocked range; one is inserted again with another key, one is deleted, and a copied
    // one gets a free key.
    db.execute(
        "update t set n = -1 where id = 1; update t set id = 7001 where id = 2; delete from t where id = 3",
    )
    .await;
    let block: i64 = db.query_value("select (ctid::text::point)[0]::int8 from t where id = 1").await;
    assert!(block > 6144, "the row went to block {block}, not to one that is still to be copied");
    obstacle.batch_execute("rollback").await.unwrap();
    let status = running.wait().await.expect_code(0).json();
    assert_eq!(status["phase"], "swapped");
    let rows: i64 = db.query_value("select count(*) from t").await;
    assert_eq!(rows, 8000 - 901 - 1);
    let changed: Vec<String> =
        db.query_column("select id || ' ' || n from t where id in (1, 2, 3, 7001) order by id").await;
    assert_eq!(changed, ["1 -1", "7001 2"]);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
