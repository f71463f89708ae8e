//! Lock requests: nobody waits long behind them, and blocking sessions are reported and not terminated unless the user
//! asks for it.

use std::time::Duration;

use crate::support::*;

async fn fill(db: &TestDb<'_>) {
    db.execute("create table t (id int primary key, v text); insert into t select g, 'v' from generate_series(1, 1000) g")
        .await;
}

const CHANGE: [&str; 4] = ["run", "t", "--alter", "alter id type bigint"];

/// Waits until the open migration has tried a lock this often.
async fn attempts(db: &TestDb<'_>, at_least: i64) -> serde_json::Value {
    let mut last = serde_json::Value::Null;
    wait_until_within(Duration::from_mins(1), "it has asked for the lock", async || {
        last = db.pgrecast(&["list", "--json"]).await.expect_code(0).json()[0].clone();
        last["lock"]["attempts"].as_i64() >= Some(at_least)
    })
    .await;
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_sees_no_ages_does_not_ask_behind_a_long_transaction() {
    let db = TestDb::create("hidden_ages").await;
    fill(&db).await;
    let owner = db.owner_role("owner", &["t"]).await;
    let app = db.role("app", "grant select, insert, update, delete on t to {role}").await;
    let holder = db.connect_as(&app).await;
    holder.batch_execute("begin; update t set v = 'w' where id = 1").await.unwrap();
    let run = db.spawn_with(&owner.name, &CHANGE, &[]);
    wait_until("it looks for the lock", async || run.stderr_so_far().contains("(try 1 of ")).await;
    // Nobody waits behind us: the lock is not requested.
    let mut asked = 0;
    while !run.stderr_so_far().contains("(try 4 of ") {
        let waiting: i64 = db
            .query_value("select count(*) from pg_locks where not granted and relation = 't'::regclass")
            .await;
        asked += waiting;
    }
    assert_eq!(asked, 0, "{}", run.stderr_so_far());
    let said = run.stderr_so_far();
    assert!(said.contains("state hidden from this role, transaction at least "), "{said}");
    assert!(!said.contains("prepared transaction"), "{said}");
    let lock = attempts(&db, 4).await["lock"].clone();
    assert!(lock["blockers"][0].as_str().unwrap().contains("on t"), "{lock}");
    assert_eq!(lock["waited_ms"], 0.0, "{lock}");
    let shown = db.pgrecast(&["status"]).await.expect_code(0).stdout;
    assert!(shown.contains("lock not granted in "), "{shown}");
    holder.batch_execute("commit").await.unwrap();
    run.wait().await.expect_code(0);
    db.execute(&format!("drop owned by {} cascade", app.name)).await;
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    db.execute(&format!("drop owned by {} cascade", owner.name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_transaction_is_named_and_waited_for() {
    let db = TestDb::create("prepared").await;
    fill(&db).await;
    let holder = db.connect().await;
    holder
        .batch_execute("begin; update t set v = 'prepared' where id = 1; prepare transaction 'left open'")
        .await
        .unwrap();
    let run = db.spawn(&CHANGE);
    let status = attempts(&db, 2).await;
    assert!(status["lock"]["blockers"][0].as_str().unwrap().contains("prepared transaction"), "{status}");
    db.execute("commit prepared 'left open'").await;
    run.wait().await.expect_code(0);
    let value: String = db.query_value("select v from t where id = 1").await;
    assert_eq!(value, "prepared");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_holds_the_table_is_ended_only_when_told_to() {
    let db = TestDb::create("kill").await;
    fill(&db).await;
    db.execute("create table other (id int)").await;
    let holder = db.connect().await;
    holder.batch_execute("begin; update t set v = 'lost' where id = 1").await.unwrap();
    let elsewhere = db.connect().await;
    elsewhere.batch_execute("begin; insert into other values (1)").await.unwrap();

    let given_up = db.pgrecast(&[&CHANGE[..], &["--lock-attempts", "3"]].concat()).await.expect_code(1);
    assert!(given_up.stderr.contains("blocked by pid"), "{}", given_up.whole());
    assert!(given_up.stderr.contains("idle in transaction, query "), "{}", given_up.whole());
    holder.batch_execute("select 1").await.expect("nobody ended it");

    let done = db.pgrecast(&["run", "--kill-blockers-after", "1s"]).await.expect_code(0);
    assert!(done.stderr.contains("was terminated"), "{}", done.whole());
    assert!(holder.batch_execute("commit").await.is_err());
    elsewhere.batch_execute("commit").await.expect("it held another table");
    let value: String = db.query_value("select v from t where id = 1").await;
    assert_eq!(value, "v");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

/// A cluster whose autovacuum is as slow as possible.
fn with_autovacuum() -> Cluster {
    Cluster::start(&[
        "autovacuum_naptime=1s",
        "autovacuum_vacuum_cost_delay=10ms",
        "autovacuum_vacuum_cost_limit=1",
    ])
}

async fn autovacuum_works(db: &TestDb<'_>, how: &str) {
    wait_until_within(Duration::from_mins(1), "autovacuum works on the table", async || {
        let workers: i64 = db
            .query_value(&format!(
                "select count(*) from pg_stat_activity where backend_type = 'autovacuum worker' and query like '%.t{how}'"
            ))
            .await;
        workers > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn autovacuum_on_the_table_gives_way_to_the_swap() {
    let cluster = with_autovacuum();
    let db = TestDb::create_in(&cluster, "autovacuum").await;
    db.execute(
        "create table t (id int primary key, v text) with (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0);
         insert into t select g, repeat('v', 400) from generate_series(1, 20000) g; delete from t where id % 3 = 0",
    )
    .await;
    autovacuum_works(&db, "").await;
    // Short requests alone never get the lock while autovacuum works.
    db.pgrecast(&[&CHANGE[..], &["--lock-attempts", "4"]].concat()).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vacuum_against_wraparound_is_waited_for_and_said() {
    let cluster = with_autovacuum();
    let db = TestDb::create_in(&cluster, "wraparound").await;
    db.execute(
        "create table t (id int primary key, v text) with (autovacuum_enabled = off, autovacuum_freeze_max_age = 100000);
         insert into t select g, repeat('v', 400) from generate_series(1, 2500) g",
    )
    .await;
    db.execute("do $$ begin for i in 1..110000 loop perform pg_current_xact_id(); commit; end loop; end $$")
        .await;
    autovacuum_works(&db, " (to prevent wraparound)").await;
    let run = db.spawn(&CHANGE);
    let status = attempts(&db, 3).await;
    let blocker = status["lock"]["blockers"][0].as_str().unwrap().to_owned();
    assert!(blocker.contains("an autovacuum to prevent wraparound, which does not give way"), "{blocker}");
    // It ends, and then the run continues.
    run.wait().await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_queues_behind_a_request_for_longer_than_its_budget() {
    let db = TestDb::create("budget").await;
    fill(&db).await;
    let stop = [("PGRECAST_FAILPOINT", "verified:1:stop")];
    let run = db.spawn_with("postgres", &CHANGE, &stop);
    wait_until("it is right before the swap", async || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap_or_default();
        status.contains("State:\tT")
    })
    .await;
    // A transaction so young that the lock is requested; a new one for each try.
    let holder = db.connect().await;
    let hold = async || holder.batch_execute("begin; select count(*) from t").await.unwrap();
    let probe = db.connect().await;
    hold().await;
    run.signal("CONT");
    let (mut longest, mut attempt) = (Duration::ZERO, 1);
    while longest < Duration::from_millis(200) {
        while !run.stderr_so_far().contains(&format!("swap: lock not granted (try {attempt} of 60)")) {
            let began = std::time::Instant::now();
            probe.query_one("select v from t where id = 1", &[]).await.unwrap();
            longest = longest.max(began.elapsed());
        }
        attempt += 1;
        holder.batch_execute("commit").await.unwrap();
        hold().await;
        assert!(attempt < 20, "the lock is requested while only a young transaction conflicts");
    }
    // --lock-timeout, and some time for the machine.
    assert!(longest < Duration::from_millis(600), "{longest:?}");
    holder.batch_execute("commit").await.unwrap();
    run.wait().await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_gives_way_to_a_truncate() {
    let db = TestDb::create("give_way").await;
    // The comparison stops at the first row.
    db.execute(
        "create function slow(v int) returns int immutable language plpgsql as $$ begin
             if v = 1 and current_setting('application_name') like '%verify' then perform pg_sleep(60); end if;
             return v; end $$;
         create table t (id int primary key, v int);
         insert into t select g, g from generate_series(1, 1000) g",
    )
    .await;
    let run = db.spawn(&["run", "t", "--alter", "alter v type bigint using slow(v)"]);
    wait_until("it compares", async || {
        db.query_value::<i64>("select count(*) from pg_stat_activity where wait_event = 'PgSleep'").await == 1
    })
    .await;
    let began = std::time::Instant::now();
    db.execute("truncate t; insert into t values (2, 2)").await;
    assert!(began.elapsed() < Duration::from_secs(5), "the application waited {:?}", began.elapsed());
    let said = run.wait().await.expect_code(0);
    assert!(said.stderr.contains("verification paused for pid"), "{}", said.whole());
    assert_eq!(db.query_value::<i64>("select count(*) from t").await, 1);
}
