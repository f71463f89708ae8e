//! Lock requests: nobody waits long behind them, and blocking sessions are reported and not terminated unless the user
//! asks for it.

use crate::support::wait::between_two_looks;
use crate::support::*;

async fn fill(db: &TestDb<'_>) {
    db.execute("create table t (id int primary key, v text); insert into t select g, 'v' from generate_series(1, 1000) g")
        .await;
}

/// With time enough under the lock: on a busy machine our session, once it has the lock, waits for the processor.
const CHANGE: [&str; 6] = ["run", "t", "--alter", "alter id type bigint", "--max-lock-time", "1min"];

/// Waits until the open migration has tried a lock this often.
async fn attempts(db: &TestDb<'_>, at_least: i64) -> serde_json::Value {
    let mut last = serde_json::Value::Null;
    wait_until("it has asked for the lock", async || {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_like_ours_spares_no_session_and_a_record_does() {
    let db = TestDb::create("spared").await;
    fill(&db).await;
    let hold = async |name: &str| {
        let holder = db.connect().await;
        holder.batch_execute(&format!("set application_name = '{name}'")).await.unwrap();
        holder.batch_execute("begin; select count(*) from t").await.unwrap();
        holder
    };
    let named = hold("pgrecast nightly report").await;
    db.pgrecast(&[&CHANGE[..], &["--lock-attempts", "1"]].concat()).await.expect_code(1);
    // One of another migration, say.
    db.execute(
        "create table other (id int primary key);
         insert into pgrecast.migration (id, phase, created_at, owner_role, settings)
         values (gen_random_uuid(), 'planned', '2000-01-01', 'postgres', '{}')",
    )
    .await;
    let recorded = hold("anything").await;
    let pid: i32 = recorded.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let record = "insert into pgrecast.session (migration_id, pid, backend_start, role_oid, purpose)
                  select m.id, a.pid, a.backend_start, a.usesysid, 'verify' from pgrecast.migration m, pg_stat_activity a
                  where a.pid = $1 and m.phase = 'planned'";
    db.query(record, &[&pid]).await;
    let run = db.spawn(&["run", "t", "--kill-blockers-after", "1s"]);
    wait_until("one is ended", async || run.stderr_so_far().contains("was terminated")).await;
    assert!(named.batch_execute("select 1").await.is_err());
    attempts(&db, 8).await;
    recorded.batch_execute("commit").await.expect("nobody ended it");
    run.wait().await.expect_code(0);
    drop(recorded);
    db.execute("delete from pgrecast.migration where phase = 'planned'").await;
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

/// A cluster whose autovacuum works on our tables as slowly as it can.
fn with_autovacuum() -> Cluster {
    Cluster::start(&[
        "autovacuum_naptime=1s",
        "autovacuum_vacuum_cost_delay=100ms",
        "autovacuum_vacuum_cost_limit=1",
    ])
}

async fn autovacuum_works(db: &TestDb<'_>, how: &str) {
    wait_until("autovacuum works on the table", async || {
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
    db.pgrecast(&CHANGE).await.expect_code(0);
    // Not by patience: short attempts alone never end it. The log is read before `cleanup`, whose DROP would.
    let task = format!("automatic vacuum of table \"{}.public.t\"", db.name());
    let log = cluster.log();
    // The line itself, where in the table it was, which table.
    let lines: Vec<&str> = log.lines().collect();
    let gave_way = |said: &[&str]| {
        said[0].contains("canceling autovacuum task") && said[1..].iter().any(|line| line.contains(&task))
    };
    assert!(lines.windows(3).any(gave_way), "autovacuum did not give way:\n{log}");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vacuum_against_wraparound_is_waited_for_and_said() {
    let cluster = with_autovacuum();
    let db = TestDb::create_in(&cluster, "wraparound").await;
    db.execute(
        "create table t (id int primary key, v text) with (autovacuum_enabled = off, autovacuum_freeze_max_age = 100000);
         insert into t select g, repeat('v', 400) from generate_series(1, 10000) g",
    )
    .await;
    db.execute("do $$ begin for i in 1..110000 loop perform pg_current_xact_id(); commit; end loop; end $$")
        .await;
    autovacuum_works(&db, " (to prevent wraparound)").await;
    let run = db.spawn(&CHANGE);
    let status = attempts(&db, 3).await;
    let blocker = status["lock"]["blockers"][0].as_str().unwrap().to_owned();
    assert!(blocker.contains("an autovacuum to prevent wraparound, which does not give way"), "{blocker}");
    // The next one is quick and comes to its end, and then the run goes on by itself.
    db.execute("alter system set autovacuum_vacuum_cost_delay = 0").await;
    db.execute(
        "select pg_reload_conf(); select pg_cancel_backend(pid) from pg_stat_activity
         where backend_type = 'autovacuum worker' and query like '%(to prevent wraparound)'",
    )
    .await;
    run.wait().await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

/// The limits, in ms, under which the server worked on each request of ours for a lock that others queue behind, in the
/// order of the server's log: `statement_timeout`, `lock_timeout`; and how many of them it ended at a limit.
fn requests_logged(db: &TestDb<'_>) -> (Vec<(u64, u64)>, usize) {
    let limit = |line: &str, name: &str| -> Option<u64> {
        let (_, value) = line.split_once(&format!("set local {name} = '"))?;
        value.split_once("ms'")?.0.parse().ok()
    };
    let of_database = format!("[{}] pgrecast ", db.name());
    let log = db.cluster().log();
    let mut lock_timeouts = std::collections::HashMap::new();
    let (mut requests, mut is_asking, mut ended) = (Vec::new(), std::collections::HashMap::new(), 0);
    for line in log.lines().filter(|line| line.contains(&of_database)) {
        let pid = line.split(['[', ']']).nth(1).unwrap();
        if let Some((_, statement)) = line.split_once("LOG:  statement: ") {
            if let Some(lock_timeout) = limit(statement, "lock_timeout") {
                lock_timeouts.insert(pid, lock_timeout);
            }
            let asks = statement.contains("lock table only \"public\".\"t\" in ")
                && !statement.contains("share update exclusive mode")
                && !statement.contains("access share mode");
            is_asking.insert(pid, asks);
            if asks {
                let statement_timeout = limit(statement, "statement_timeout").unwrap_or(u64::MAX);
                requests.push((statement_timeout, lock_timeouts.get(pid).copied().unwrap_or(u64::MAX)));
            }
        } else if line.contains("ERROR:  canceling statement due to ") && line.ends_with(" timeout") {
            ended += usize::from(is_asking.get(pid) == Some(&true));
        }
    }
    (requests, ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_queues_behind_a_request_for_longer_than_its_budget() {
    let db = TestDb::create("budget").await;
    fill(&db).await;
    db.execute(&format!("alter database {} set log_statement = 'all'", db.name())).await;
    let stop = [("PGRECAST_FAILPOINT", "verified:1:stop")];
    let run = db.spawn_with("postgres", &CHANGE, &stop);
    wait_until("it is right before the swap", async || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap_or_default();
        status.contains("State:\tT")
    })
    .await;
    // One of two transactions always holds the table, and is so young that the lock is asked for: the next one begins,
    // and then the former ends. One that begins during a request queues behind it, and gets on only when the server
    // has ended that request: it can not be granted.
    let holders = [db.connect().await, db.connect().await];
    let queued = "select exists (
        select from pg_locks l
        join pg_stat_activity a on a.pid = any (pg_blocking_pids(l.pid))
        where not l.granted and l.relation = 't'::regclass and l.mode = 'AccessShareLock'
          and a.application_name like 'pgrecast%')";
    let hold = "begin; select count(*) from t";
    holders[0].batch_execute(hold).await.unwrap();
    run.signal("CONT");
    let (mut times_queued, mut current) = (0, 0);
    while times_queued < 2 {
        assert!(!run.has_ended(), "the lock is asked for when nothing but a young transaction is in the way");
        let mut next = std::pin::pin!(holders[1 - current].batch_execute(hold));
        let mut is_queued = false;
        loop {
            tokio::select! {
                biased;
                begun = &mut next => break begun.unwrap(),
                found = db.query_value::<bool>(queued) => is_queued |= found,
            }
        }
        times_queued += usize::from(is_queued);
        holders[current].batch_execute("commit").await.unwrap();
        current = 1 - current;
        between_two_looks().await;
    }
    // Whatever the machine needs besides: the server lets no request wait for longer than --lock-timeout.
    let (requests, ended) = requests_logged(&db);
    assert!(ended >= times_queued, "{ended} requests were ended at a limit: {requests:?}");
    assert!(requests.len() > ended, "the request for the capture triggers is one too: {requests:?}");
    let is_in_budget =
        |(statement, lock): &(u64, u64)| (1..=300).contains(statement) && (1..=300).contains(lock);
    assert!(requests.iter().all(is_in_budget), "{requests:?}");
    holders[current].batch_execute("commit").await.unwrap();
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
             if v = 1 and current_setting('application_name') like '%verify' then perform pg_sleep(3600); end if;
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
    // The server says if it waits for longer.
    db.execute("set lock_timeout = '5s'; truncate t; insert into t values (2, 2); reset lock_timeout").await;
    let said = run.wait().await.expect_code(0);
    assert!(said.stderr.contains("verification paused for pid"), "{}", said.whole());
    assert_eq!(db.query_value::<i64>("select count(*) from t").await, 1);
}
