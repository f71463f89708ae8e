//! Writers at full speed: the new table is brought up to date nevertheless, and if that is not possible, the error has
//! both rates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::support::*;
use tokio::task::JoinHandle;

/// Clients that execute `write` with a random number as fast as possible.
struct Writers {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u64>>,
}

impl Writers {
    async fn start(db: &TestDb<'_>, count: u32, write: &'static str) -> Writers {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for _ in 0..count {
            let (client, is_over) = (db.connect().await, Arc::clone(&is_over));
            clients.push(tokio::spawn(async move {
                let write = client.prepare(write).await.unwrap();
                let mut written = 0;
                while !is_over.load(Ordering::Relaxed) {
                    written +=
                        client.execute(&write, &[]).await.expect("no statement of the application fails");
                }
                written
            }));
        }
        Writers { is_over, clients }
    }

    /// Stops them; returns the number of rows written.
    async fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        let mut written = 0;
        for client in self.clients {
            written += client.await.unwrap();
        }
        written
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_gets_level_and_is_changed() {
    let db = TestDb::create("full_speed").await;
    db.execute(
        "create table t (id int primary key, v int not null, note text);
         insert into t select g, 0, 'a note on row ' || g from generate_series(1, 500000) g;
         create index on t (v)",
    )
    .await;
    db.execute("vacuum analyze t").await;
    let started = Instant::now();
    let writers =
        Writers::start(&db, 4, "update t set v = v + 1 where id = 1 + (pg_catalog.random() * 499999)::int")
            .await;
    let run = ["run", "t", "--alter", "alter v type bigint, drop column note", "--lock-attempts", "1000"];
    db.pgrecast(&run).await.expect_code(0);
    // The rollback must keep the values that only the retired table has.
    db.pgrecast(&["rollback", "t", "--lock-attempts", "1000"]).await.expect_code(0);
    let took = started.elapsed();
    let written = writers.stop().await;
    println!(
        "{written} updates, {:.0} a second, there and back in {took:?}",
        written as f64 / took.as_secs_f64()
    );
    assert_eq!(db.query_value::<i64>("select sum(v) from t").await, i64::try_from(written).unwrap());
    assert_eq!(
        db.query_value::<i64>("select count(*) from t where note = 'a note on row ' || id").await,
        500_000
    );
    db.assert_no_deadlock();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_are_faster_are_told_of_with_both_rates() {
    let db = TestDb::create("too_fast").await;
    // Replaying a changed row takes 20 ms, on any machine.
    db.execute(
        "create function slow(v int) returns int immutable language plpgsql as
             $$ begin if v > 0 then perform pg_sleep(0.02); end if; return v; end $$;
         create table t (id int primary key, v int not null);
         insert into t select g, 0 from generate_series(1, 3000) g",
    )
    .await;
    let change = "add column s int generated always as (slow(v)) stored";
    let old = db.connect().await;
    old.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    let run = db.spawn(&["run", "t", "--alter", change]);
    wait_until("the rows are copied, it waits for the snapshot", async || {
        run.stderr_so_far().contains("waiting for transactions")
    })
    .await;
    let writers = Writers::start(&db, 1, "update t set v = v + 1 from (select pg_sleep(0.1)) s").await;
    old.batch_execute("rollback").await.unwrap();
    let output = run.wait().await.expect_code(1);
    println!("{}", output.stderr);
    assert!(output.stderr.contains("faster than pgrecast can replay the changes"), "{}", output.stderr);
    assert!(output.stderr.contains("changes per second are logged"), "{}", output.stderr);
    assert!(output.stderr.contains("replayed by 8 sessions"), "{}", output.stderr);
    let written = writers.stop().await;
    assert_eq!(db.query_value::<i64>("select sum(v)::int8 from t").await, i64::try_from(written).unwrap());
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
