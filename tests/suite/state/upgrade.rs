//! A state of an older version: this version completes its open migrations. A newer state is refused.

use pgrecast::failpoint::Failpoint;

use crate::support::*;

/// The schema of state version 2.
const SCHEMA_2: &str = include_str!("schema_2.sql");

const DOWNGRADE: &str = include_str!("downgrade_to_2.sql");

const RUN: [&str; 6] = [
    "run",
    "t",
    "--alter",
    "alter id type bigint, alter n type text using n || '!'",
    "--reverse",
    "n=rtrim(n, '!')::int",
];

/// All columns of the state, to compare an upgraded state with a new one.
const COLUMNS: &str = "select table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || coalesce(' ' || column_default, '')
     from information_schema.columns where table_schema = 'pgrecast' and table_name !~ '_[0-9a-f]{8}' order by 1";

async fn downgrade(db: &TestDb<'_>) {
    let tables =
        SCHEMA_2.split_once("create table").unwrap().1.split_once("-- The guard of the swap").unwrap().0;
    db.execute(&DOWNGRADE.replace("{tables}", &format!("create table{tables}"))).await;
    assert_eq!(db.query_value::<i32>("select schema_version from pgrecast.version").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_migration_of_version_2_is_finished() {
    // During the copy, after the indexes, after the swap.
    for (moment, phase) in [
        (Failpoint::ChunkCopied, "capturing"),
        (Failpoint::KeyMade, "copied"),
        (Failpoint::Swapped, "swapped"),
    ] {
        let db = TestDb::create("upgrade").await;
        db.execute(
            "create table t (id int primary key, n int unique, note text);
             insert into t select g, g, 'n' || g from generate_series(1, 3000) g",
        )
        .await;
        let environment = [("PGRECAST_FAILPOINT", moment.as_str())];
        db.spawn_with("postgres", &RUN, &environment).wait().await.expect_code(-1);
        let columns: Vec<String> = db.query_column(COLUMNS).await;
        downgrade(&db).await;
        db.execute("update t set note = 'late' where id % 3 = 0; delete from t where id = 5").await;

        // A command that only reads says what to do.
        let status = db.pgrecast(&["status"]).await.expect_code(1);
        assert!(status.stderr.contains("has version 2, this program needs version 3"), "{}", status.whole());
        assert!(status.stderr.contains("The next `pgrecast run` upgrades it"), "{}", status.whole());

        let run = db.pgrecast(&["run", "--json"]).await.expect_code(0).json();
        assert_eq!(run["phase"], "swapped", "{moment:?}");
        assert_eq!(db.query_column::<String>(COLUMNS).await, columns, "an upgraded state equals a new one");
        let began: String = db
            .query_value("select message from pgrecast.event where kind = 'phase' order by id limit 1")
            .await;
        assert_eq!(began, "planned", "{moment:?} {phase}: the history is there");
        let rows: Vec<String> = db
            .query_column("select id || ' ' || n || ' ' || note from t where id in (3, 4, 5) order by id")
            .await;
        assert_eq!(rows, ["3 3! late", "4 4! n4"]);
        db.execute("update t set note = 'later' where id = 4").await;
        db.pgrecast(&["rollback", "t"]).await.expect_code(0);
        let rows: Vec<String> = db
            .query_column("select id || ' ' || n || ' ' || note from t where id in (3, 4, 5) order by id")
            .await;
        assert_eq!(rows, ["3 3 late", "4 4 later"]);
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
        assert_nothing_left(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_newer_is_left_alone() {
    let db = TestDb::create("newer").await;
    db.execute("create table t (id int primary key, n int)").await;
    db.pgrecast(&RUN).await.expect_code(0);
    db.execute("update pgrecast.version set schema_version = 4").await;
    for command in [&["status"][..], &["run"], &["cleanup", "t"], &RUN] {
        let output = db.pgrecast(command).await.expect_code(1);
        assert!(
            output.stderr.contains("has version 4, this program supports version 3"),
            "{}",
            output.whole()
        );
        assert!(output.stderr.contains("a newer version of pgrecast created it"), "{}", output.whole());
    }
    db.execute("update pgrecast.version set schema_version = 3").await;
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
