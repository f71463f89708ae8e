//! A run that is stopped or killed in each phase: the table is usable at once, `run` completes the change without
//! losing a write, and `abort` leaves the database as it was.

use crate::support::database::SUPERUSER;
use crate::support::*;
use tokio_postgres::Client;

/// Where a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// Waiting for the lock of the capture triggers.
    Capture,
    /// While blocks are copied.
    Copy,
    /// While an index is built.
    Index,
    /// While rows are compared.
    Verify,
    /// Waiting for the lock of the swap.
    Swap,
}

impl Moment {
    const ALL: [Moment; 5] = [Moment::Capture, Moment::Copy, Moment::Index, Moment::Verify, Moment::Swap];

    fn phase(self) -> &'static str {
        match self {
            Moment::Capture => "shadowed",
            Moment::Copy => "capturing",
            Moment::Index => "copied",
            Moment::Verify => "level",
            Moment::Swap => "verified",
        }
    }

    /// The lock that holds the run there.
    fn obstacle(self) -> &'static str {
        match self {
            Moment::Capture => "begin; update t set v = v where id = 1",
            // The conversion of every row requests this lock.
            Moment::Copy => "begin; select pg_advisory_xact_lock(42)",
            // The expression of an index requests another one.
            Moment::Index | Moment::Verify => "begin; select pg_advisory_xact_lock(43)",
            Moment::Swap => "begin; select count(*) from t",
        }
    }
}

/// How it is stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stop {
    Interrupt,
    Kill,
}

/// Makes a session one of the open migration's, as a run does with those that it opens.
async fn record_as_ours(db: &TestDb<'_>, session: &Client) {
    let pid: i32 = session.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let record = "insert into pgrecast.session (migration_id, pid, backend_start, role_oid, purpose)
                  select m.id, a.pid, a.backend_start, a.usesysid, 'copy 9' from pgrecast.migration m, pg_stat_activity a
                  where a.pid = $1";
    db.query(record, &[&pid]).await;
}

async fn fill(db: &TestDb<'_>) {
    db.execute(
        "create table t (id int primary key, v text, n int);
         insert into t select g, repeat('v' || g, 20), g from generate_series(1, 30000) g;
         create index on t (n);
         create function held(n int) returns bigint immutable language plpgsql as
             $$ begin perform pg_advisory_xact_lock_shared(42); return n; end $$;
         create function held_index(id bigint) returns bigint immutable language plpgsql as
             $$ begin perform pg_advisory_xact_lock_shared(43); return id; end $$;
         create index on t (held_index(id))",
    )
    .await;
}

const CHANGE: [&str; 5] =
    ["run", "t", "--alter", "alter id type bigint, alter n type bigint using held(n)", "--json"];

/// Begins a run and stops it at that moment.
async fn stopped_at(db: &TestDb<'_>, moment: Moment, stop: Stop) {
    let (obstacle, second) = stopped_as(db, SUPERUSER, moment, stop).await;
    obstacle.batch_execute("rollback").await.unwrap();
    second.batch_execute("rollback").await.unwrap();
}

/// The same as a role, while the lock that holds the run still exists.
async fn stopped_as(db: &TestDb<'_>, role: &str, moment: Moment, stop: Stop) -> (Client, Client) {
    let obstacle: Client = db.connect().await;
    obstacle.batch_execute(moment.obstacle()).await.unwrap();
    let running = db.spawn_with(role, &CHANGE, &[]);
    let wait_for = async |phase: &str| {
        wait_until("the run is there", async || {
            let list = db.pgrecast(&["list", "--json"]).await.expect_code(0).json();
            let at = &list[0];
            at["phase"] == phase && (moment != Moment::Copy || at["chunks_total"].as_i64() > Some(0))
        })
        .await;
    };
    let second = db.connect().await;
    if moment == Moment::Verify {
        // The lock of the conversion is taken again, after the copy.
        wait_for(Moment::Index.phase()).await;
        second.batch_execute(Moment::Copy.obstacle()).await.unwrap();
        obstacle.batch_execute("rollback").await.unwrap();
    }
    wait_for(moment.phase()).await;
    match stop {
        Stop::Interrupt => {
            running.interrupt();
            let output = running.wait().await.expect_code(4);
            assert!(output.stderr.contains("stopped on request"), "{}", output.whole());
            assert_eq!(output.json()["phase"], moment.phase());
        }
        Stop::Kill => {
            running.kill();
            running.wait().await;
        }
    }
    (obstacle, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_run_of_a_role_that_is_not_the_owner_left_is_ended_by_the_next() {
    let db = TestDb::create("operator").await;
    fill(&db).await;
    let owner = db.owner_role("owner", &["t"]).await;
    let operator = db.role("operator", &format!("grant {} to {{role}}", owner.name)).await;
    let other = db.role("other", &format!("grant {} to {{role}}", owner.name)).await;
    stopped_as(&db, &operator.name, Moment::Copy, Stop::Kill).await;
    // One that does not end by itself, as on a connection whose other end vanished without a word.
    let orphan = db.connect_as(&operator).await;
    record_as_ours(&db, &orphan).await;
    let refused = db.pgrecast_as(&other, &["run", "t"]).await.expect_code(1);
    assert!(refused.stderr.contains(&format!("of role {}", operator.name)), "{}", refused.whole());
    orphan.batch_execute("select 1").await.expect("another role may not end it");
    let done = db.pgrecast_as(&operator, &["run", "t"]).await.expect_code(0);
    assert!(done.stderr.contains("terminated sessions"), "{}", done.whole());
    assert!(orphan.batch_execute("select 1").await.is_err());
    let rows: i64 = db.query_value("select count(distinct id) * 100000 + count(*) from t").await;
    assert_eq!(rows, 30000 * 100_000 + 30000);
    db.pgrecast_as(&operator, &["cleanup", "t"]).await.expect_code(0);
    db.execute(&format!("drop owned by {} cascade", owner.name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_has_the_name_of_the_shadows_is_left_alone() {
    let db = TestDb::create("taken").await;
    fill(&db).await;
    stopped_at(&db, Moment::Capture, Stop::Interrupt).await;
    // As if the name had been taken before the shadow was made.
    db.execute("update pgrecast.migration set phase = 'planned'").await;
    let output = db.pgrecast(&["run", "t", "--json"]).await.expect_code(3);
    assert!(output.stderr.contains("for the shadow is taken"), "{}", output.whole());
    assert_eq!(output.json()["error"]["code"], "schema-taken");
    db.execute("update pgrecast.migration set phase = 'shadowed'").await;
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_run_goes_on_and_loses_nothing() {
    for (place, stop) in [Stop::Interrupt, Stop::Kill].into_iter().enumerate() {
        for moment in some(Moment::ALL, place, 2) {
            let db = TestDb::create("go_on").await;
            fill(&db).await;
            stopped_at(&db, moment, stop).await;
            db.execute("update t set n = -n where id % 1000 = 0; delete from t where id = 77; insert into t values (900000, 'new', 1)").await;
            let status = db.pgrecast(&["run", "--json", "--jobs", "3"]).await.expect_code(0).json();
            assert_eq!(status["phase"], "swapped", "{moment:?} {stop:?}");
            let rows: i64 = db.query_value("select count(*) from t").await;
            assert_eq!(rows, 30_000, "{moment:?} {stop:?}");
            let changed: i64 = db.query_value("select count(*) from t where n < 0").await;
            assert_eq!(changed, 30, "{moment:?} {stop:?}");
            db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
            assert_nothing_left(&db).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_run_can_be_aborted() {
    for (place, stop) in [Stop::Kill, Stop::Interrupt].into_iter().enumerate() {
        for moment in some(Moment::ALL, place, 2) {
            let db = TestDb::create("give_up").await;
            fill(&db).await;
            let before = schema_dump(&db).await;
            stopped_at(&db, moment, stop).await;
            let status = db.pgrecast(&["abort", "t", "--json"]).await.expect_code(0).json();
            assert_eq!(status["phase"], "aborted");
            assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new(), "{moment:?} {stop:?}");
            assert_nothing_left(&db).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_is_told_who_has_the_migration() {
    let db = TestDb::create("second").await;
    fill(&db).await;
    let obstacle = db.connect().await;
    obstacle.batch_execute(Moment::Swap.obstacle()).await.unwrap();
    let first = db.spawn(&CHANGE);
    wait_until("the first run waits for the swap", async || {
        db.pgrecast(&["list", "--json"]).await.expect_code(0).json()[0]["phase"] == "verified"
    })
    .await;
    let leader = db.pgrecast(&["list", "--json"]).await.expect_code(0).json()[0]["runner_pid"].clone();
    let second = db.pgrecast(&CHANGE).await.expect_code(1);
    assert!(second.stderr.contains("already running elsewhere"), "{}", second.whole());
    assert!(second.stderr.contains(&format!("held by pid {leader} ")), "{}", second.whole());
    let other = db.pgrecast(&["run", "t", "--alter", "add column x int"]).await.expect_code(2);
    assert!(other.stderr.contains("another change"), "{}", other.whole());
    obstacle.batch_execute("rollback").await.unwrap();
    first.wait().await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_rewritten_or_truncated_during_the_copy_is_copied_again() {
    for (meanwhile, rows) in
        [("vacuum full t", 30_000), ("truncate t; insert into t values (1, 'only', 1)", 1)]
    {
        let db = TestDb::create("rewritten").await;
        fill(&db).await;
        stopped_at(&db, Moment::Copy, Stop::Interrupt).await;
        db.execute(meanwhile).await;
        let output = db.pgrecast(&["run", "t", "--json"]).await.expect_code(0);
        assert!(output.stderr.contains("the copy starts again"), "{}", output.whole());
        let found: i64 = db.query_value("select count(*) from t").await;
        assert_eq!(found, rows);
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
        assert_nothing_left(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_with_rights_on_the_table_alone_writes_through_it_all() {
    let db = TestDb::create("rights").await;
    fill(&db).await;
    let owner = db.owner_role("owner", &["t"]).await.name;
    let dba = db.role("dba", &format!("grant {owner} to {{role}}")).await;
    let app = db.role("app", "grant select, insert, update, delete on t to {role}").await;
    let client = db.connect_as(&app).await;
    let write = async |n: i32| {
        let text = format!(
            "insert into t values ({0}, 'app', 0); update t set v = 'mine' where id = {1}; delete from t where id = {2}",
            500_000 + n,
            n,
            1000 + n
        );
        client.batch_execute(&text).await.unwrap();
    };
    write(1).await;
    let obstacle = db.connect().await;
    obstacle.batch_execute("begin; select count(*) from t").await.unwrap();
    let mut arguments = CHANGE.to_vec();
    arguments.extend(["--lock-attempts", "1"]);
    db.pgrecast_as(&dba, &arguments).await.expect_code(1);
    write(2).await;
    obstacle.batch_execute("rollback").await.unwrap();
    db.pgrecast_as(&dba, &["run", "t"]).await.expect_code(0);
    write(3).await;
    db.pgrecast_as(&dba, &["verify", "t"]).await.expect_code(0);
    db.pgrecast_as(&dba, &["rollback", "t"]).await.expect_code(0);
    write(4).await;
    db.pgrecast_as(&dba, &["cleanup", "t"]).await.expect_code(0);
    let mine: i64 = db.query_value("select count(*) from t where v in ('mine', 'app')").await;
    assert_eq!(mine, 8);
    let rows: i64 = db.query_value("select count(*) from t").await;
    assert_eq!(rows, 30_000);
    assert_nothing_left(&db).await;
}
