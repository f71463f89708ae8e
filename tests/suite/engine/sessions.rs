//! Which sessions are ours: those that runs have recorded by pid and start, whatever anybody calls his own; and one of them
//! leads a migration at a time, which nobody without rights on the state can hinder.

use tokio_postgres::Client;

use crate::support::database::SUPERUSER;
use crate::support::*;

const CHANGE: [&str; 4] = ["run", "t", "--alter", "alter column id type bigint"];

async fn fill(db: &TestDb<'_>) {
    db.execute("create table t (id int primary key, v text); insert into t select g, 'v' from generate_series(1, 1000) g; create table other (a int primary key)")
        .await;
}

async fn pid(session: &Client) -> i32 {
    session.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0)
}

/// Begins the change and kills the run as soon as rows could be copied; says the migration's short id.
async fn killed_before_the_copy(db: &TestDb<'_>) -> String {
    let killed = db.spawn_with(SUPERUSER, &CHANGE, &[("PGRECAST_FAILPOINT", "capturing")]).wait().await;
    assert_eq!(killed.code, -1, "{}", killed.whole());
    db.query_value(
        "select left(replace(id::text, '-', ''), 8) from pgrecast.migration order by created_at desc limit 1",
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_a_name_like_ours_is_waited_for_and_not_ended() {
    let db = TestDb::create("named").await;
    fill(&db).await;
    let id = killed_before_the_copy(&db).await;
    let stranger = db.connect().await;
    stranger.batch_execute(&format!("set application_name = 'pgrecast {id} copy 1'")).await.unwrap();
    stranger
        .batch_execute("begin isolation level repeatable read; select count(*) from other")
        .await
        .unwrap();
    let pid = pid(&stranger).await;
    // A former session of ours had its pid.
    let reused = "insert into pgrecast.session (migration_id, pid, backend_start, role_oid, purpose)
                  select m.id, a.pid, a.backend_start - interval '1 s', a.usesysid, 'copy 1'
                  from pgrecast.migration m, pg_stat_activity a where a.pid = $1";
    db.query(reused, &[&pid]).await;
    let output = db.pgrecast(&["run", "t", "--snapshot-timeout", "1s"]).await.expect_code(1);
    assert!(output.stderr.contains(&format!("pid {pid} \"pgrecast {id} copy 1\"")), "{}", output.whole());
    let seen: i64 = stranger.query_one("select count(*) from t", &[]).await.expect("nobody ended it").get(0);
    assert_eq!(seen, 1000);
    stranger.batch_execute("commit").await.unwrap();
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    stranger.batch_execute("select 1").await.expect("nobody ended it");
    drop(stranger);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_rights_keeps_no_run_from_its_table() {
    let db = TestDb::create("stranger").await;
    fill(&db).await;
    let owner = db.owner_role("owner", &["t"]).await;
    let stranger = db.role("stranger", "").await;
    let session = db.connect_as(&stranger).await;
    // Every advisory lock that can be named from outside: by the table, by what the program is called.
    session
        .batch_execute(
            "select pg_advisory_lock(x'70677263'::int, oid::int), pg_advisory_lock(oid::bigint) from pg_class where relname = 't';
             set application_name = 'pgrecast control'",
        )
        .await
        .unwrap();
    let denied = session.batch_execute("update pgrecast.migration set leader = 0").await;
    assert!(denied.is_err());
    db.pgrecast_as(&owner, &CHANGE).await.expect_code(0);
    assert!(session.batch_execute("update pgrecast.migration set leader = 0").await.is_err());
    assert!(session.batch_execute("delete from pgrecast.session").await.is_err());
    db.pgrecast_as(&owner, &["rollback", "t"]).await.expect_code(0);
    db.pgrecast_as(&owner, &["cleanup", "t"]).await.expect_code(0);
    drop(session);
    db.execute(&format!("drop owned by {} cascade", owner.name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_runs_at_once_one_has_the_table_and_the_others_say_which() {
    for is_begun in [false, true] {
        let db = TestDb::create("at_once").await;
        fill(&db).await;
        // So that the state is there, which two can not make at once.
        db.pgrecast(&["run", "other", "--alter", "add column b int"]).await.expect_code(0);
        db.pgrecast(&["cleanup", "other"]).await.expect_code(0);
        if is_begun {
            killed_before_the_copy(&db).await;
        }
        let reader = db.connect().await;
        reader.batch_execute("begin; select count(*) from t").await.unwrap();
        let mut runs: Vec<_> = (0..4).map(|_| db.spawn(&CHANGE)).collect();
        while runs.len() > 1 {
            wait_until("all but one give up", async || runs.iter().any(Running::has_ended)).await;
            let place = runs.iter().position(Running::has_ended).unwrap();
            let output = runs.remove(place).wait().await.expect_code(1);
            let is_named = output.stderr.contains("is already running elsewhere\ncaused by: held by pid ");
            let is_too_late = output.stderr.contains("another run has just begun to change this table");
            assert!(is_named || !is_begun && is_too_late, "{}", output.whole());
        }
        let migrations: i64 = db
            .query_value("select count(*) from pgrecast.table_change where original_oid = 't'::regclass")
            .await;
        assert_eq!(migrations, 1);
        reader.batch_execute("commit").await.unwrap();
        runs.remove(0).wait().await.expect_code(0);
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
        assert_nothing_left(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_lost_its_lease_changes_no_phase() {
    let db = TestDb::create("lost_lease").await;
    fill(&db).await;
    let reader = db.connect().await;
    reader.batch_execute("begin; select count(*) from t").await.unwrap();
    let run = db.spawn(&CHANGE);
    wait_until("it waits for the swap", async || {
        db.pgrecast(&["list", "--json"]).await.expect_code(0).json()[0]["phase"] == "verified"
    })
    .await;
    db.execute("update pgrecast.migration set leader = null").await;
    reader.batch_execute("commit").await.unwrap();
    let lost = run.wait().await.expect_code(1);
    assert!(lost.stderr.contains("another session has changed it"), "{}", lost.whole());
    assert_eq!(db.query_value::<String>("select phase from pgrecast.migration").await, "verified");
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_recorded_of_their_sessions_is_removed_by_later_ones() {
    let db = TestDb::create("recorded").await;
    fill(&db).await;
    killed_before_the_copy(&db).await;
    let recorded = "select count(*) from pgrecast.session where backend_start < '2001-01-01'";
    db.execute(
        "insert into pgrecast.session (migration_id, pid, backend_start, role_oid, purpose)
         select id, 1, '2000-01-01', 10, 'copy 1' from pgrecast.migration",
    )
    .await;
    assert_eq!(db.query_value::<i64>(recorded).await, 1);
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    assert_eq!(db.query_value::<i64>(recorded).await, 0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert!(db.query_value::<i64>("select count(*) from pgrecast.session").await > 0);
    db.pgrecast(&["run", "other", "--alter", "add column b int"]).await.expect_code(0);
    let ended = "select count(*) from pgrecast.session s join pgrecast.table_change c using (migration_id)
                 where c.table_name = 't'";
    assert_eq!(db.query_value::<i64>(ended).await, 0);
    db.pgrecast(&["cleanup", "other"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
