//! A failover to a synchronous standby during a copy: committed rows exist, and the run continues.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::support::*;
use tokio_postgres::{Client, NoTls};

/// Writes until the server stops, and remembers what was committed.
async fn write(client: Client, committed: Arc<AtomicI32>) {
    for n in 1.. {
        let write = format!(
            "update t set v = 'w{n}' where id = {n}; insert into t values ({}, 1, 'new')",
            500_000 + n
        );
        if client.batch_execute(&write).await.is_err() {
            return;
        }
        committed.store(n, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_against_the_standby_that_was_promoted() {
    let cluster = Cluster::start(&["max_wal_senders=5"]);
    let db = TestDb::create_in(&cluster, "failover").await;
    // The conversion of the last rows waits for a lock: the copy stops in the middle.
    db.execute(
        "create table t (id int primary key, n int, v text);
         insert into t select g, g, repeat('v', 200) from generate_series(1, 200000) g;
         create function held(n int) returns bigint immutable language plpgsql as
             $$ begin if n > 150000 then perform pg_advisory_xact_lock_shared(42); end if; return n; end $$",
    )
    .await;
    let port = cluster.start_standby().await.to_string();
    let obstacle = db.connect().await;
    obstacle.batch_execute("begin; select pg_advisory_xact_lock(42)").await.unwrap();
    let run = db.spawn(&[
        "run",
        "t",
        "--alter",
        "alter n type bigint using held(n)",
        "--jobs",
        "1",
        "--chunk-time",
        "1ms",
    ]);
    let committed = Arc::new(AtomicI32::new(0));
    let writer = tokio::spawn(write(db.connect().await, Arc::clone(&committed)));
    wait_until("some rows are copied, and some written", async || {
        let status = db.pgrecast(&["list", "--json"]).await.expect_code(0).json();
        status[0]["rows_copied"].as_i64() > Some(10_000) && committed.load(Ordering::Relaxed) > 50
    })
    .await;
    let copied: i64 = db.query_value("select sum(next_block)::int8 from pgrecast.chunk").await;
    cluster.crash();
    let ended = run.wait().await.expect_code(1);
    assert!(ended.stderr.contains("connection") || ended.stderr.contains("server"), "{}", ended.whole());
    writer.await.unwrap();

    cluster.promote_standby();
    let standby = [("PGPORT", port.as_str())];
    let again = db
        .spawn_with("postgres", &["run", "t", "--jobs", "3", "--chunk-time", "200ms", "-v"], &standby)
        .wait()
        .await;
    again.expect_code(0);
    let mut there = tokio_postgres::Config::new();
    there
        .host_path(cluster.socket_directory())
        .port(port.parse().unwrap())
        .dbname(db.name())
        .user("postgres");
    let (client, connection) = there.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let last = committed.load(Ordering::Relaxed);
    let row = client
        .query_one(
            &format!(
                "select count(*) filter (where id <= {last} and v = 'w' || id),
                        count(*) filter (where id between 500001 and 500000 + {last}),
                        count(distinct id) = count(*) and pg_typeof(min(n)) = 'bigint'::regtype,
                        (select sum(next_block) from pgrecast.chunk) >= {copied}
                 from t"
            ),
            &[],
        )
        .await
        .unwrap();
    let found: (i64, i64, bool, bool) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(found, (i64::from(last), i64::from(last), true, true));
    db.spawn_with("postgres", &["rollback", "t"], &standby).wait().await.expect_code(0);
}
