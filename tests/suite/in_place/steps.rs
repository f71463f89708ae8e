//! Changes without a copy: run under writers, ended at every step in every way and continued, undone, and stopped by
//! rows that do not fit.

use crate::support::ending::{Ending, Executioner};
use crate::support::in_place::{TABLE, phase};
use crate::support::{Cluster, TestDb, schema_dump, some, wait_until};
use pgrecast::failpoint::Failpoint as P;

/// Changes that run in steps, with the statement for PostgreSQL.
const STAGED: [&str; 9] = [
    "alter table orders alter amount set not null",
    "alter table orders add constraint positive check (amount > 0)",
    "alter table orders add foreign key (customer_id) references customer on delete cascade",
    "alter table orders add unique (code)",
    "alter table orders add primary key (tenant, id)",
    "alter table orders validate constraint small",
    "create unique index by_code on orders (lower(code)) include (amount) where amount > 10",
    "drop index by_note",
    "alter table orders add extra int default 3, add unique (code), alter amount set not null, alter note type varchar(20), \
     add check (id > 0)",
];

fn arguments(file: &str) -> [&str; 6] {
    ["run", "orders", "--file", file, "--strategy", "auto"]
}

/// The statement in a file, and the definition after PostgreSQL has run it directly.
async fn prepare(statement: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), statement).unwrap();
    let plain = TestDb::create("plain").await;
    plain.execute(TABLE).await;
    plain.execute(statement).await;
    let dump = schema_dump(&plain).await;
    (file, dump)
}

/// Rows are written all the time: a wait longer than the limit would be detected here.
async fn write(db: &TestDb<'_>) {
    db.execute(
        "set statement_timeout = '5s'; update orders set note = note where id % 100 = 7;
         insert into orders (id, amount, code, customer_id, note, tenant)
         select max(id) + 1, 1, 'w' || max(id) + 1, 1, 'w', 1 from orders",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ended_at_any_step_goes_on() {
    for (n, statement) in some(STAGED.into_iter().enumerate(), 0, 2) {
        let (file, wanted) = prepare(statement).await;
        let path = file.path().to_str().unwrap();
        for ending in some([Ending::Kill, Ending::ALL[1 + n % 3]], n / 2 % 2, 2) {
            // A crash affects the whole server.
            let own = (ending == Ending::Crash).then(|| Cluster::start(&[]));
            let mut db = TestDb::create_in(own.as_ref().unwrap_or(Cluster::shared()), "in_place").await;
            db.execute(TABLE).await;
            let mut executioner = Executioner::of(&mut db).await;
            // The next command connects again: only a killed process leaves just the plan behind.
            let mut points = if ending == Ending::Kill { vec![P::Planned] } else { Vec::new() };
            let has_index = ["unique", "primary", "index"].iter().any(|word| statement.contains(word));
            if has_index {
                points.extend([P::StepBegun, P::StepIndexDone]);
            }
            for point in points {
                let ended = executioner.end_at(&arguments(path), point, 1, ending).await;
                assert!(ended.is_some(), "{statement} never reached {point:?}");
                write(executioner.db).await;
            }
            // After each step that is not the last.
            while phase(executioner.db).await != "finished" {
                executioner.end_at(&arguments(path), P::StepDone, 1, ending).await;
                write(executioner.db).await;
            }
            assert_eq!(schema_dump(executioner.db).await, wanted, "{statement} after {ending:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_taken_back() {
    for statement in some(STAGED, 1, 2) {
        let (file, _) = prepare(statement).await;
        let path = file.path().to_str().unwrap();
        // A constraint that is already valid does no harm.
        let is_final = statement.contains("validate");
        for point in [P::Planned, P::StepBegun, P::StepIndexDone, P::StepDone] {
            let mut db = TestDb::create("undone").await;
            db.execute(TABLE).await;
            let before = schema_dump(&db).await;
            let mut executioner = Executioner::of(&mut db).await;
            if executioner.end_at(&arguments(path), point, 1, Ending::Kill).await.is_none() {
                continue;
            }
            if statement.starts_with("drop") && point != P::Planned {
                // A half-done drop cannot be undone: it can only continue.
                executioner.db.pgrecast(&["abort", "orders"]).await.expect_code(2);
                executioner.db.pgrecast(&["run", "orders"]).await.expect_code(0);
                continue;
            }
            if executioner.end_at(&["abort", "orders"], P::StepUndone, 1, Ending::Kill).await.is_some() {
                executioner.db.pgrecast(&["abort", "orders"]).await.expect_code(0);
            }
            assert_eq!(phase(executioner.db).await, "aborted", "{statement} at {point:?}");
            if !is_final {
                assert_eq!(schema_dump(executioner.db).await, before, "{statement} at {point:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_build_that_dies_leaves_nothing_invalid() {
    let (file, wanted) = prepare(STAGED[3]).await;
    let path = file.path().to_str().unwrap();
    let db = TestDb::create("dying_build").await;
    db.execute(TABLE).await;
    db.execute("begin; update orders set note = 'held' where id = 1").await;
    let running = db.spawn(&arguments(path));
    let looking = db.connect().await;
    wait_until("the build waits for the writer", async || {
        let row = looking
            .query_one(
                "select exists (select from pg_stat_activity where query ~* 'create unique index concurrently'
                                and wait_event_type = 'Lock' and datname = current_database())",
                &[],
            )
            .await
            .unwrap();
        row.get::<_, bool>(0)
    })
    .await;
    running.kill();
    db.execute("commit").await;
    db.pgrecast(&["run", "orders"]).await.expect_code(0);
    assert_eq!(schema_dump(&db).await, wanted);
    let invalid: i64 = db.query_value("select count(*) from pg_index where not indisvalid").await;
    assert_eq!(invalid, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_stop_it_and_it_goes_on_when_they_do() {
    let db = TestDb::create("misfits").await;
    for (change, spoil, mend) in [
        (
            "add unique (code)",
            "update orders set code = 'c1' where id = 2",
            "update orders set code = 'c2' where id = 2",
        ),
        (
            "alter amount set not null",
            "update orders set amount = null where id = 3",
            "update orders set amount = 3 where id = 3",
        ),
        (
            "add constraint positive check (amount > 0)",
            "update orders set amount = -1 where id = 3",
            "update orders set amount = 3 where id = 3",
        ),
        (
            "add foreign key (customer_id) references customer",
            "update orders set customer_id = 4711 where id = 3",
            "update orders set customer_id = 3 where id = 3",
        ),
    ] {
        db.execute(&format!("drop table if exists orders, customer; {TABLE}; {spoil}")).await;
        let run = ["run", "orders", "--alter", change, "--strategy", "auto"];
        let output = db.pgrecast(&run).await.expect_code(5);
        assert!(output.stderr.contains("abort orders"), "{}", output.whole());
        let invalid: i64 = db.query_value("select count(*) from pg_index where not indisvalid").await;
        assert_eq!(invalid, 0, "{change}");
        db.execute(mend).await;
        db.pgrecast(&run).await.expect_code(0);
        assert_eq!(phase(&db).await, "finished", "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_change_is_one_transaction_and_gives_way() {
    let db = TestDb::create("instant").await;
    db.execute(TABLE).await;
    let plan = db.pgrecast(&[
        "plan",
        "orders",
        "--alter",
        "add x int, rename code to label",
        "--strategy",
        "auto",
        "--json",
    ]);
    assert_eq!(plan.await.expect_code(0).json()["strategy"], "instant");
    db.execute("begin; select count(*) from orders").await;
    let run = ["run", "orders", "--alter", "add x int, rename code to label", "--strategy", "auto", "--json"];
    let mut few = run.to_vec();
    few.extend(["--lock-attempts", "2"]);
    let output = db.pgrecast(&few).await.expect_code(1);
    assert!(
        output.json()["error"]["message"].as_str().unwrap().contains("could not lock"),
        "{}",
        output.whole()
    );
    db.execute("commit").await;
    let status = db.pgrecast(&run).await.expect_code(0).json();
    assert_eq!(status["phase"], "finished");
    let columns: String = db
        .query_value("select string_agg(attname, ',' order by attnum) from pg_attribute where attrelid = 'orders'::regclass and attnum > 0")
        .await;
    assert_eq!(columns, "id,amount,label,customer_id,note,tenant,x");
    // Values are not dropped at once unless the user requests that.
    db.execute("alter table orders add primary key (id)").await;
    let plan = db.pgrecast(&["plan", "orders", "--alter", "drop x", "--strategy", "auto", "--json"]).await;
    let plan = plan.expect_code(0).json();
    assert_eq!((&plan["strategy"], &plan["actions"][0]["class"]), (&"copy".into(), &"instant".into()));
    db.execute("alter table orders drop constraint orders_pkey").await;
    // A migration that keeps a table is found by the table's name, also after later migrations.
    db.execute("alter table orders add primary key (id)").await;
    db.pgrecast(&["run", "orders", "--rebuild"]).await.expect_code(0);
    db.pgrecast(&["rollback", "orders"]).await.expect_code(0);
    db.pgrecast(&["run", "orders", "--alter", "alter label set default 'l'", "--strategy", "auto"])
        .await
        .expect_code(0);
    db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
    let kept: i64 =
        db.query_value("select count(*) from pg_namespace where nspname like 'pgrecast\\_%'").await;
    assert_eq!(kept, 0);
    db.execute("alter table orders drop constraint orders_pkey").await;
    // A table without a key; then again: no migration is open any more.
    db.pgrecast(&["run", "orders", "--alter", "drop x", "--strategy", "in-place"]).await.expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_view_reads_goes_the_way_of_the_copy() {
    let db = TestDb::create("obstacle").await;
    db.execute(&format!(
        "{TABLE}; alter table orders add primary key (id); create view notes as select note from orders"
    ))
    .await;
    let plan = db
        .pgrecast(&["plan", "orders", "--alter", "alter note type text", "--strategy", "auto", "--json"])
        .await
        .json();
    assert_eq!(plan["strategy"], "copy");
    assert!(plan["actions"][0]["reason"].as_str().unwrap().contains("view notes"), "{plan}");
    let plan = db
        .pgrecast(&["plan", "orders", "--alter", "alter code type varchar", "--strategy", "auto", "--json"])
        .await
        .json();
    assert_eq!(plan["strategy"], "instant", "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn risks_are_named_and_a_script_can_stop_at_them() {
    let db = TestDb::create("risks").await;
    db.execute(
        "create table orders (id serial primary key, n int);
         select setval('orders_id_seq', 2000000000); create publication everything for table orders",
    )
    .await;
    let holder = db.connect().await;
    holder.batch_execute("begin; select count(*) from orders; select pg_sleep(1.1)").await.unwrap();
    let plan = ["plan", "orders", "--alter", "rename n to m", "--strategy", "auto", "--json"];
    let said = db.pgrecast(&plan).await.expect_code(0).json();
    let mut codes: Vec<&str> =
        said["risks"].as_array().unwrap().iter().map(|risk| risk["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["long-transaction", "renamed", "sequence-exhaustion", "subscribers"]);
    holder.batch_execute("rollback").await.unwrap();
    for (fail_on, code) in [("renamed,data-loss", 3), ("any", 3), ("data-loss", 0), ("nonsense", 2)] {
        let mut plan = plan.to_vec();
        plan.extend(["--fail-on", fail_on]);
        db.pgrecast(&plan).await.expect_code(code);
    }
}
