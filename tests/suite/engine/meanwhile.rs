//! Changes by other sessions while a migration is open: they are detected and reported, nothing is lost, and the user
//! can continue or abort.

use crate::support::database::SUPERUSER;
use crate::support::ending::is_stopped;
use crate::support::*;

const CHANGE: [&str; 4] = ["run", "t", "--alter", "alter column id type bigint"];

/// A table whose migration is right before the swap, blocked by a reader.
async fn before_the_swap(db: &TestDb<'_>) -> String {
    db.execute(
        "create table t (id int primary key, v text);
         insert into t select g, 'v' || g from generate_series(1, 3000) g",
    )
    .await;
    let reader = db.connect().await;
    reader.batch_execute("begin; select count(*) from t").await.unwrap();
    db.pgrecast(&[&CHANGE[..], &["--lock-attempts", "1"]].concat()).await.expect_code(1);
    db.query_value("select id::text from pgrecast.migration order by created_at desc limit 1").await
}

/// A statement of another session, the exit code of the next `run`, and a part of its error; `{s}` is the shadow's
/// schema, `{i}` the first digits of the id.
const MEDDLING: &[(&str, i32, &str)] = &[
    ("drop table {s}.t", 5, "shadow"),
    ("drop schema {s} cascade", 5, "shadow"),
    ("delete from {s}.t where id = 7", 5, "id = 7 is missing"),
    ("alter table {s}.t add column more int", 5, "shadow"),
    ("drop trigger \"!pgrecast_capture\" on t", 5, "capture triggers"),
    ("alter table t disable trigger \"!pgrecast_capture_truncate\"", 5, "capture triggers"),
    ("drop function pgrecast.capture_forward_{i}() cascade", 5, "capture triggers"),
    ("alter table t drop constraint t_pkey", 5, "another session has changed the definition of public.t"),
    ("alter table t rename column id to key", 5, "column id of the key does not exist any more"),
    ("alter table t rename to elsewhere", 5, "public.t"),
    ("drop table t", 5, "public.t does not exist any more"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meddling_before_the_swap_is_said_and_can_be_given_up() {
    let db = TestDb::create("meddling").await;
    for (meddling, code, words) in MEDDLING {
        let id = before_the_swap(&db).await;
        let short = &id[..8];
        let meddling = meddling.replace("{s}", &format!("pgrecast_{short}")).replace("{i}", short);
        db.execute(&meddling).await;
        let said = db.pgrecast(&["run", &id]).await;
        assert!(said.code == *code && said.stderr.contains(words), "{meddling}: {words:?}\n{}", said.whole());
        assert!(
            said.stderr.contains("state: ") && said.stderr.contains("hint: "),
            "{meddling}: {}",
            said.whole()
        );
        db.pgrecast(&["status", &id]).await.expect_code(0);
        let given_up = db.pgrecast(&["abort", &id]).await;
        assert_eq!(given_up.code, 0, "{meddling}: {}", given_up.whole());
        assert_nothing_left(&db).await;
        db.execute("drop table if exists elsewhere; drop table if exists t").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_dropped_by_hand_takes_capture_with_it() {
    let db = TestDb::create("state_gone").await;
    let id = before_the_swap(&db).await;
    db.execute("drop schema pgrecast cascade").await;
    db.execute("update t set v = 'written'; insert into t values (9000, 'too')").await;
    for command in ["run", "abort", "status"] {
        let said = db.pgrecast(&[command, &id]).await.expect_code(2);
        assert!(said.stderr.contains("no migration"), "{}", said.whole());
    }
    let left = format!("pgrecast_{}", &id[..8]);
    db.execute(&format!("drop schema {left} cascade; drop schema {left}_retired cascade")).await;
    // Then everything starts again.
    db.pgrecast(&CHANGE).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
    assert_eq!(db.query_value::<i64>("select count(*) from t").await, 3001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_revoked_between_two_runs_are_named() {
    let db = TestDb::create("revoked").await;
    db.execute("create table t (id int primary key, v text); insert into t select g, 'v' from generate_series(1, 3000) g").await;
    let owner = db.owner_role("owner", &["t"]).await;
    let operator = db.role("operator", &format!("grant {} to {{role}}", owner.name)).await;
    let reader = db.connect().await;
    reader.batch_execute("begin; select count(*) from t").await.unwrap();
    db.pgrecast_as(&operator, &[&CHANGE[..], &["--lock-attempts", "1"]].concat()).await.expect_code(1);
    reader.batch_execute("rollback").await.unwrap();
    db.execute(&format!("revoke {} from {}", owner.name, operator.name)).await;
    let said = db.pgrecast_as(&operator, &["run", "t"]).await;
    assert!(
        said.code == 1 && said.stderr.contains("permission denied") | said.stderr.contains("may not"),
        "{}",
        said.whole()
    );
    db.execute(&format!("grant {} to {}", owner.name, operator.name)).await;
    db.pgrecast_as(&operator, &["run", "t"]).await.expect_code(0);
    db.pgrecast_as(&operator, &["cleanup", "t"]).await.expect_code(0);
    db.execute(&format!("drop owned by {} cascade", owner.name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_the_old_shape_can_not_hold_is_found_early_and_named() {
    let db = TestDb::create("misfit").await;
    let id = before_the_swap(&db).await;
    db.pgrecast(&["run", &id]).await.expect_code(0);
    db.execute("update t set v = 'later' where id % 2 = 0; insert into t values (3000000000, 'much')").await;
    let found = db.pgrecast(&["run", "t"]).await.expect_code(5);
    assert!(found.stderr.contains("id = 3000000000"), "{}", found.whole());
    assert!(found.stderr.contains("the new table is in place"), "{}", found.whole());
    let status = db.pgrecast(&["status", "t", "--json"]).await.expect_code(0).json();
    assert!(status["error"]["message"].as_str().unwrap().contains("id = 3000000000"), "{status}");
    let since = status["error"]["since"].clone();
    assert!(since.is_string(), "{status}");
    let back = db.pgrecast(&["rollback", "t"]).await.expect_code(5);
    assert!(back.stderr.contains("id = 3000000000"), "{}", back.whole());
    let status = db.pgrecast(&["status", "t", "--json"]).await.expect_code(0).json();
    assert_eq!(status["error"]["since"], since, "still the same");

    db.execute("update t set id = 4000 where id = 3000000000").await;
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    let status = db.pgrecast(&["status", "t", "--json"]).await.expect_code(0).json();
    assert!(status["error"].is_null(), "{status}");
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    let rows: String = db
        .query_value("select count(*) || ' ' || count(*) filter (where v = 'later') || ' ' || max(id) from t")
        .await;
    assert_eq!(rows, "3001 1500 4000");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncate_between_looking_and_batches_is_obeyed_first() {
    let db = TestDb::create("truncate_batches").await.with_little_as_much();
    db.execute("create table t (id int primary key, v int); insert into t select g, 0 from generate_series(1, 500) g")
        .await;
    let at = |moment: &'static str, command: &[&str]| {
        db.spawn_with(SUPERUSER, command, &[("PGRECAST_FAILPOINT", moment)])
    };
    at("indexed", &CHANGE).wait().await.expect_code(-1);
    for (command, value) in [("run", 1), ("rollback", 2)] {
        db.execute("update t set v = 0").await;
        let running = at("measured:1:stop", &[command, "t"]);
        wait_until("it is stopped", async || is_stopped(running.pid())).await;
        db.execute(&format!("truncate t; insert into t select g, {value} from generate_series(1, 50) g"))
            .await;
        running.signal("CONT");
        running.wait().await.expect_code(0);
        assert_eq!(db.query_value::<i64>("select sum(v)::int8 from t").await, 50 * value, "{command}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_and_fro_three_times_and_cleaned_up_by_age() {
    let db = TestDb::create("to_and_fro").await;
    db.execute("create table t (id int primary key, gone text, n int); insert into t select g, 'gone' || g, 0 from generate_series(1, 500) g").await;
    let before = schema_dump(&db).await;
    for time in 1..=3 {
        db.pgrecast(&["run", "t", "--alter", "alter id type bigint, drop column gone"]).await.expect_code(0);
        db.execute(&format!("update t set n = n + 1; insert into t values (1000 + {time}, {time}); delete from t where id = {time}")).await;
        db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    }
    let rows: String = db
        .query_value(
            "select concat_ws(' ', count(*), count(gone), sum(n), bool_and(gone = 'gone' || id)) from t",
        )
        .await;
    assert_eq!(rows, format!("500 497 {} t", 497 * 3 + (1 + 2) + (2 + 1) + 3));
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());

    let nothing = db.pgrecast(&["cleanup", "--older-than", "7d", "--json"]).await.expect_code(0);
    assert_eq!(nothing.json().as_array().unwrap().len(), 0);
    db.execute(
        "update pgrecast.migration set swapped_at = swapped_at - interval '8 days'
         where id in (select id from pgrecast.migration order by created_at limit 2)",
    )
    .await;
    let old = db.pgrecast(&["cleanup", "--older-than", "7d", "--json"]).await.expect_code(0);
    assert_eq!(old.json().as_array().unwrap().len(), 2, "{}", old.whole());
    let again = db.pgrecast(&["cleanup", "--older-than", "7d"]).await.expect_code(0);
    assert_eq!(again.stdout, "no migration is older than that\n");
    db.pgrecast(&["cleanup", "--older-than", "0s"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
