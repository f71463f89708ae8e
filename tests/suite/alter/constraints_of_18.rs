//! Constraints that PostgreSQL 18 brought: NOT NULL that is NOT VALID, keys WITHOUT OVERLAPS, PERIOD, NOT ENFORCED. On an
//! older server there is nothing to see.

use crate::support::*;

async fn on_18(hint: &str) -> Option<TestDb<'static>> {
    let db = TestDb::create(hint).await;
    let is_18: bool = db.query_value("select current_setting('server_version_num')::int >= 180000").await;
    is_18.then_some(db)
}

const CONSTRAINTS: &str =
    "select format('%s %s %s', conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))
    from pg_constraint where conrelid = 't'::regclass order by 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_null_that_is_not_valid_is_proven_without_a_lock() {
    let Some(db) = on_18("not_null_staged").await else { return };
    for alter in ["alter a set not null", "validate constraint there"] {
        db.execute(
            "drop table if exists t; create table t (id int primary key, a int); insert into t values (1, 1)",
        )
        .await;
        db.execute("alter table t add constraint there not null a not valid").await;
        let plan = db
            .pgrecast(&["plan", "t", "--alter", alter, "--strategy", "auto", "--json"])
            .await
            .expect_code(0);
        assert_eq!(plan.json()["strategy"], "staged", "{}", plan.whole());
        db.pgrecast(&["run", "t", "--alter", alter, "--strategy", "auto"]).await.expect_code(0);
        let valid: bool =
            db.query_value("select convalidated from pg_constraint where conname = 'there'").await;
        assert!(valid, "{alter}");
    }
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_null_that_is_not_valid_lets_old_rows_pass_and_stays_so() {
    let Some(db) = on_18("not_null_copied").await else { return };
    db.execute(
        "create table t (id int primary key, a int); insert into t values (1, null), (2, 2);
         alter table t add constraint there not null a not valid; comment on constraint there on t is 'new rows only'",
    )
    .await;
    let before: Vec<String> = db.query_column(CONSTRAINTS).await;
    db.pgrecast(&["run", "t", "--rebuild"]).await.expect_code(0);
    assert_eq!(db.query_column::<String>(CONSTRAINTS).await, before);
    let refused = db.client().execute("insert into t values (3, null)", &[]).await;
    assert!(refused.is_err());
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    assert_eq!(db.query_column::<String>(CONSTRAINTS).await, before);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn constraints_that_are_not_enforced_stay_so() {
    let Some(db) = on_18("not_enforced").await else { return };
    db.execute(
        "create table p (id int primary key); create table t (id int primary key, p int,
             constraint small check (p < 10) not enforced, constraint parent foreign key (p) references p not enforced);
         insert into t values (1, 100)",
    )
    .await;
    let before: Vec<String> = db.query_column(CONSTRAINTS).await;
    db.pgrecast(&["run", "t", "--rebuild"]).await.expect_code(0);
    assert_eq!(db.query_column::<String>(CONSTRAINTS).await, before);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_without_overlaps_are_carried_and_period_is_refused() {
    let Some(db) = on_18("temporal").await else { return };
    if db.client().batch_execute("create extension btree_gist").await.is_err() {
        return; // not among the server's files
    }
    db.execute(
        "create table t (id int primary key, room int, at daterange, n int, constraint seat unique (room, at without overlaps));
         insert into t select g, g, daterange('2026-02-01', '2026-03-01'), g from generate_series(1, 50) g;
         comment on constraint seat on t is 'one each'",
    )
    .await;
    let before: Vec<String> = db.query_column(CONSTRAINTS).await;
    db.pgrecast(&["run", "t", "--alter", "alter n type bigint"]).await.expect_code(0);
    assert_eq!(db.query_column::<String>(CONSTRAINTS).await, before);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    db.execute("create table stay (id int primary key, room int, at daterange, foreign key (room, period at) references t (room, period at))").await;
    for table in ["t", "stay"] {
        let plan = db.pgrecast(&["plan", table, "--rebuild", "--json"]).await.expect_code(3);
        assert_eq!(plan.json()["refusals"][0]["code"], "temporal-key", "{}", plan.whole());
    }
    assert_nothing_left(&db).await;
}
