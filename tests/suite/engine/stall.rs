//! The cost of a migration for the application: the longest wait of a statement, and how much slower statements are
//! during the copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use tokio::task::JoinHandle;

const ROWS: i32 = 2_000_000;

/// Clients that repeatedly read one row and update another.
struct Load {
    is_over: Arc<AtomicBool>,
    /// Statements so far.
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<Duration>>>,
}

impl Load {
    /// Starts `count` clients; each begins a statement every `pace`, or immediately if the last one took longer.
    async fn start(db: &TestDb<'_>, count: u32, pace: Duration) -> Load {
        let (is_over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for number in 1..=count {
            let (client, is_over, done) = (db.connect().await, Arc::clone(&is_over), Arc::clone(&done));
            clients.push(tokio::spawn(async move {
                let read = client.prepare("select note from t where id = $1").await.unwrap();
                let write = client.prepare("update t set v = v + 1 where id = $1").await.unwrap();
                let mut tick = tokio::time::interval(pace);
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                let mut took = Vec::new();
                let mut random = u64::from(number);
                while !is_over.load(Ordering::Relaxed) {
                    tick.tick().await;
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let id = i32::try_from((random >> 33) % u64::from(ROWS.unsigned_abs())).unwrap() + 1;
                    for statement in [&read, &write] {
                        let began = Instant::now();
                        client
                            .execute(statement, &[&id])
                            .await
                            .expect("no statement of the application fails");
                        took.push(began.elapsed());
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
                took
            }));
        }
        Load { is_over, done, clients }
    }

    /// Stops them; returns the durations of the statements, the longest last.
    async fn stop(self) -> Vec<Duration> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all.sort_unstable();
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_of_the_application_stands_still_for_long() {
    // --lock-timeout, --max-lock-time, and 100 ms. After this time the server itself logs who waits for a lock, however
    // busy the processors are.
    let cluster = Cluster::start(&["deadlock_timeout=700ms"]);
    let db = TestDb::create_in(&cluster, "stall").await;
    db.execute(&format!(
        "create table t (id int primary key, v int, note text);
         insert into t select g, 0, 'a note on row ' || g from generate_series(1, {ROWS}) g"
    ))
    .await;
    db.execute("vacuum analyze t").await;
    // 500 updates per second.
    let pace = Duration::from_millis(8);
    let load = Load::start(&db, 4, pace).await;
    wait_until("enough is measured", async || load.done.load(Ordering::Relaxed) >= 2000).await;
    let before = load.stop().await;

    let load = Load::start(&db, 4, pace).await;
    db.pgrecast(&["run", "t", "--alter", "alter v type bigint, add column extra int"]).await.expect_code(0);
    let during = load.stop().await;
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);

    // Four clients, each with up to a thousand updates per second, during the change and the rollback.
    let load = Load::start(&db, 4, Duration::from_millis(1)).await;
    let change = ["run", "t", "--alter", "alter v type numeric", "--lock-attempts", "1000"];
    db.pgrecast(&change).await.expect_code(0);
    db.pgrecast(&["rollback", "t", "--lock-attempts", "1000"]).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    let at_full_speed = load.stop().await;
    db.assert_no_deadlock();

    let median = |all: &[Duration]| all[all.len() / 2];
    let longest =
        [during.last(), at_full_speed.last()].into_iter().flatten().max().copied().unwrap_or_default();
    println!(
        "longest stall {longest:?} of {} statements; median at 500 updates/s {:?} before, {:?} during the run: {:.2} times",
        during.len() + at_full_speed.len(),
        median(&before),
        median(&during),
        median(&during).as_secs_f64() / median(&before).as_secs_f64()
    );
    let log = cluster.log();
    let is_ours = |line: &&str| line.contains("still waiting for") && !line.contains("] pgrecast");
    let waited: Vec<&str> = log.lines().filter(is_ours).collect();
    assert!(waited.is_empty(), "the application waited for a lock: {waited:#?}");
}
