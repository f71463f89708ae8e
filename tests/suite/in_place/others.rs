//! Changes by other sessions between the steps of a change without a copy.

use crate::support::ending::{Ending, Executioner};
use crate::support::in_place::{TABLE, phase};
use crate::support::{TestDb, schema_dump, wait_until};
use pgrecast::failpoint::Failpoint as P;

/// A change whose second step fails, and a statement of another session before it continues.
async fn stopped_at_duplicates(db: &TestDb<'_>, change: &str) {
    db.execute(&format!(
        "drop table if exists orders, customer; {TABLE}; update orders set code = 'c1' where id = 2"
    ))
    .await;
    db.pgrecast(&["run", "orders", "--alter", change, "--strategy", "auto"]).await.expect_code(5);
    db.execute("update orders set code = 'c2' where id = 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_make_under_our_names_is_neither_taken_for_ours_nor_dropped() {
    let db = TestDb::create("names").await;
    // An index with the same name and another definition, after the build failed.
    stopped_at_duplicates(&db, "add constraint once unique (code)").await;
    db.execute("create index once on orders (tenant)").await;
    let output = db.pgrecast(&["run", "orders"]).await.expect_code(5);
    assert!(output.stderr.contains("another session has changed the definition"), "{}", output.whole());
    db.pgrecast(&["abort", "orders"]).await.expect_code(0);
    let left: i64 = db.query_value("select count(*) from pg_indexes where indexname = 'once'").await;
    assert_eq!(left, 1, "the index of the other session was dropped");

    // A constraint with the same name as that of a finished step.
    stopped_at_duplicates(&db, "add constraint k check (amount > 0), add constraint once unique (code)")
        .await;
    db.execute(
        "alter table orders drop constraint k; alter table orders add constraint k check (tenant > 0)",
    )
    .await;
    db.pgrecast(&["run", "orders"]).await.expect_code(5);
    let output = db.pgrecast(&["abort", "orders"]).await.expect_code(0);
    assert!(output.stderr.contains("this migration did not create constraint k"), "{}", output.whole());
    let left: i64 = db.query_value("select count(*) from pg_constraint where conname = 'k'").await;
    assert_eq!(left, 1, "the constraint of the other session was dropped");

    // Columns that exchange their names before a later step.
    stopped_at_duplicates(&db, "alter tenant set not null, add constraint once unique (code)").await;
    db.execute("alter table orders rename code to old_code; alter table orders rename note to code").await;
    let output = db.pgrecast(&["run", "orders"]).await.expect_code(5);
    assert!(output.stderr.contains("another session has changed the definition"), "{}", output.whole());
    db.execute("alter table orders rename code to note; alter table orders rename old_code to code").await;
    db.pgrecast(&["run", "orders"]).await.expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_dropped_last_and_only_the_one_that_is_meant() {
    let db = TestDb::create("drops").await;
    db.execute(&format!("{TABLE}; create table other (a int); create index elsewhere on other (a)")).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let run = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        ["run", "orders", "--strategy", "auto", "--file"]
            .into_iter()
            .chain([file.path().to_str().unwrap()])
            .collect::<Vec<_>>()
    };
    for (index, words) in [("elsewhere", "is not one of"), ("nowhere", "does not exist")] {
        let output = db.pgrecast(&run(&format!("drop index {index}"))).await.expect_code(2);
        assert!(output.stderr.contains(words), "{}", output.whole());
    }
    // Not the index with that name in the table's schema, but the one that the name means.
    db.execute("create schema s; create table s.t (id int primary key); create index by_note2 on s.t (id)")
        .await;
    std::fs::write(file.path(), "alter table s.t alter id set default 4; drop index by_note2;").unwrap();
    db.pgrecast(&["run", "--strategy", "auto", "--file", file.path().to_str().unwrap()]).await.expect_code(2);
    db.pgrecast(&run("alter table orders alter id set default 4; drop index if exists nowhere;"))
        .await
        .expect_code(0);

    // Steps that cannot be undone come after all steps that can fail.
    db.execute("update orders set code = 'c1' where id = 2").await;
    let before = schema_dump(&db).await;
    db.pgrecast(&run("drop index by_note; create unique index by_code on orders (code)"))
        .await
        .expect_code(5);
    db.pgrecast(&["abort", "orders"]).await.expect_code(0);
    assert_eq!(schema_dump(&db).await, before);
}

/// A `run` of these statements.
struct Run {
    file: tempfile::NamedTempFile,
}

impl Run {
    fn of(statements: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), statements).unwrap();
        Run { file }
    }

    fn arguments(&self) -> Vec<&str> {
        vec!["run", "orders", "--strategy", "auto", "--file", self.file.path().to_str().unwrap()]
    }
}

async fn relations(db: &TestDb<'_>, name: &str) -> i64 {
    db.query_value(&format!("select count(*) from pg_class where relname = '{name}'")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_still_to_be_dropped_is_dropped_whatever_others_do() {
    let run = Run::of("alter table orders add x int; drop index by_note");
    for (meanwhile, left) in [
        ("alter table orders add y int", 0),
        ("alter index by_note rename to another; create index by_note on orders (tenant)", 1),
        ("alter table orders rename to former", 0),
        ("drop index by_note", 0),
        ("drop table orders", 0),
    ] {
        let mut db = TestDb::create("final").await;
        db.execute(TABLE).await;
        let mut executioner = Executioner::of(&mut db).await;
        executioner.end_at(&run.arguments(), P::StepDone, 1, Ending::Kill).await.unwrap();
        executioner.db.execute(meanwhile).await;
        let id: String = executioner.db.query_value("select id::text from pgrecast.migration").await;
        let output = executioner.db.pgrecast(&["abort", &id]).await.expect_code(2);
        assert!(output.stderr.contains("to finish"), "{}", output.whole());
        executioner.db.pgrecast(&["run", &id]).await.expect_code(0);
        assert_eq!(phase(executioner.db).await, "finished", "{meanwhile}");
        assert_eq!(relations(executioner.db, "by_note").await, left, "{meanwhile}");
        assert_eq!(relations(executioner.db, "another").await, 0, "{meanwhile}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_finds_its_table_under_any_name() {
    let change = "add constraint k check (amount > 0), add constraint once unique (code)";
    for (meanwhile, table, constraint) in [
        ("alter table orders rename to former; alter table former rename constraint k to l", "former", "l"),
        ("create schema s; alter table orders set schema s", "s.orders", "k"),
        ("drop table orders", "orders", "k"),
    ] {
        let db = TestDb::create("renamed").await;
        stopped_at_duplicates(&db, change).await;
        db.execute(meanwhile).await;
        let id: String = db.query_value("select id::text from pgrecast.migration").await;
        db.pgrecast(&["run", &id]).await.expect_code(5);
        db.pgrecast(&["abort", &id]).await.expect_code(0);
        assert_eq!(phase(&db).await, "aborted", "{meanwhile}");
        let left: i64 = db
            .query_value(&format!(
                "select count(*) from pg_constraint where conrelid = to_regclass('{table}') and conname = '{constraint}'"
            ))
            .await;
        assert_eq!(left, 0, "{meanwhile}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_index_of_a_killed_build_is_made_anew_or_dropped() {
    let run = Run::of("alter table orders add unique (code)");
    for (next, code, indexes) in [(run.arguments(), 0, 1), (vec!["abort", "orders"], 0, 0)] {
        let db = TestDb::create("invalid").await;
        db.execute(TABLE).await;
        let writer = db.connect().await;
        writer.batch_execute("begin; update orders set note = 'held' where id = 1").await.unwrap();
        let running = db.spawn(&run.arguments());
        let builder = "from pg_stat_activity where query ~* 'create unique index concurrently' \
                       and wait_event_type = 'Lock' and datname = current_database()";
        wait_until("the build waits for the writer", async || {
            db.query_value::<bool>(&format!("select exists (select {builder})")).await
        })
        .await;
        running.kill();
        db.execute(&format!("select pg_terminate_backend(pid) {builder}")).await;
        wait_until("the build has died", async || {
            !db.query_value::<bool>(&format!("select exists (select {builder})")).await
        })
        .await;
        let invalid = "select count(*) from pg_index where not indisvalid";
        assert_eq!(db.query_value::<i64>(invalid).await, 1, "the build left nothing: this tests nothing");
        writer.batch_execute("commit").await.unwrap();
        db.pgrecast(&next).await.expect_code(code);
        assert_eq!(db.query_value::<i64>(invalid).await, 0);
        assert_eq!(relations(&db, "orders_code_key").await, indexes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_under_a_lock_counts_for_all_statements_together() {
    let db = TestDb::create("hold").await;
    db.execute(TABLE).await;
    db.execute(
        "create function slow() returns event_trigger language plpgsql as
             $$ begin if tg_tag = 'ALTER TABLE' then perform pg_sleep(1); end if; end $$;
         create event trigger slow on ddl_command_end execute function slow()",
    )
    .await;
    let before = schema_dump(&db).await;
    let run = Run::of(
        "alter table orders rename amount to a; alter table orders rename code to c; alter table orders rename note to n",
    );
    let mut arguments = run.arguments();
    // Each of the three statements alone would have time enough.
    arguments.extend(["--max-lock-time", "2s", "--lock-attempts", "1"]);
    let output = db.pgrecast(&arguments).await.expect_code(1);
    assert!(output.stderr.contains("2000 ms"), "{}", output.whole());
    assert_eq!(schema_dump(&db).await, before);
    let mut arguments = run.arguments();
    arguments.extend(["--max-lock-time", "1min"]);
    db.pgrecast(&arguments).await.expect_code(0);
    assert_eq!(phase(&db).await, "finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_said() {
    let db = TestDb::create("taken").await;
    db.execute(&format!("{TABLE}; create table by_code (a int)")).await;
    for statement in
        ["create index if not exists by_note on orders (note)", "create index by_code on orders (code)"]
    {
        let run = Run::of(statement);
        let output = db.pgrecast(&run.arguments()).await.expect_code(2);
        assert!(output.stderr.contains(" already exists"), "{}", output.whole());
    }
    // Since the plan.
    let change = "add constraint k check (amount > 0), add constraint once unique (code)";
    stopped_at_duplicates(&db, change).await;
    db.execute("create index once on customer (id)").await;
    let output = db.pgrecast(&["run", "orders"]).await.expect_code(5);
    assert!(output.stderr.contains("index once already exists"), "{}", output.whole());
    db.execute("alter index once rename to another").await;
    db.pgrecast(&["run", "orders"]).await.expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_keeps_its_column_under_another_name_too() {
    let db = TestDb::create("renamed_column").await;
    db.execute(&format!(
        "{TABLE}; alter table orders add primary key (id); create view notes as select note from orders"
    ))
    .await;
    let file = Run::of("alter table orders rename note to n; alter table orders alter n type text");
    let mut plan = file.arguments();
    plan[0] = "plan";
    plan.push("--json");
    let plan = db.pgrecast(&plan).await.expect_code(0).json();
    assert_eq!(plan["strategy"], "copy", "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_gets_another_name_or_schema_in_place_or_not_at_all() {
    let db = TestDb::create("moved").await;
    db.execute(&format!("{TABLE}; create schema archive; alter table orders add primary key (id)")).await;
    let run = Run::of("alter table orders rename to purchases");
    db.pgrecast(&run.arguments()).await.expect_code(0);
    let run = ["run", "purchases", "--alter", "set schema archive", "--strategy", "auto"];
    db.pgrecast(&run).await.expect_code(0);
    let there: bool = db.query_value("select to_regclass('archive.purchases') is not null").await;
    assert!(there);
    let mixed = [
        "run",
        "archive.purchases",
        "--alter",
        "alter amount type bigint, rename to p",
        "--strategy",
        "auto",
    ];
    let output = db.pgrecast(&mixed).await.expect_code(3);
    assert!(output.whole().contains("the new table gets the name"), "{}", output.whole());
    db.execute("create view archive.taken as select 1").await;
    for (alter, words) in [
        ("rename to taken", "name-taken archive.taken: "),
        ("rename to p, set schema public", "after-rename"),
        ("rename to p, add column x int", "after-rename"),
    ] {
        let output = db
            .pgrecast(&["run", "archive.purchases", "--alter", alter, "--strategy", "auto"])
            .await
            .expect_code(3);
        assert!(output.stderr.contains(words), "{}", output.whole());
    }
    let nowhere = ["run", "archive.purchases", "--alter", "set schema nowhere", "--strategy", "auto"];
    let output = db.pgrecast(&nowhere).await.expect_code(3);
    assert!(output.stderr.contains("schema \"nowhere\" does not exist"), "{}", output.whole());
    assert!(output.stderr.contains("not-accepted"), "{}", output.whole());
}
