//! `--where`: only some rows are in the new table, and a rollback restores all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::ending::is_stopped;
use crate::support::{TestDb, assert_nothing_left, wait_until};

/// A table and its twin. `state` decides which rows are kept, and changes.
const TABLE: &str = "
    create table orders (id int primary key, state text not null, amount int not null, price numeric(12,3));
    create table twin (like orders including all);
    insert into orders select g, case when g % 3 = 0 then 'open' else 'done' end, g, g / 8.0 from generate_series(1, 3000) g;
    insert into twin select * from orders";

const KEPT: &str = "state = 'open' and amount >= 0";

/// A transaction that writes the same to both. It skips a row that does not exist.
const WRITES: [&str; 5] = [
    "update {table} set amount = amount + 1 where id = {id}",
    "update {table} set state = case state when 'open' then 'done' else 'open' end where id = {id}",
    "update {table} set amount = -1 - amount, price = price + 1 where id = {id}",
    "delete from {table} where id = {id}",
    "insert into {table} values ({id}, 'open', {id}, 1.005)",
];

struct Writers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    sessions: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    async fn start(db: &TestDb<'_>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut sessions = Vec::new();
        for number in 0..3u64 {
            let client = db.connect().await;
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            sessions.push(tokio::spawn(async move {
                let mut n = number;
                while !stop.load(Ordering::Relaxed) {
                    n += 3; // no two sessions write to one row
                    let id = 1 + (n * 7919 * 3 + number) % 3300;
                    let write = WRITES[(n / 3 % 5) as usize].replace("{id}", &id.to_string());
                    let one = write.replace("{table}", "orders");
                    // The twin is written only if the table was: a row that is not kept stays the same.
                    let twin = write.replace("{table}", "twin");
                    let found = "get diagnostics found = row_count; if found = 0 then return; end if;";
                    let take_place = format!("delete from twin where id = {id};");
                    let (before, after) =
                        if write.starts_with("insert") { (take_place.as_str(), "") } else { ("", found) };
                    let text = format!(
                        "do $$ declare found int; begin {one}; {after} {before} {twin}; \
                         exception when unique_violation then null; end $$"
                    );
                    client.batch_execute(&text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Writers { stop, done, sessions }
    }

    async fn go_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        wait_until("transactions are done", async || self.done.load(Ordering::Relaxed) > before + 300).await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for session in self.sessions {
            session.await.unwrap();
        }
    }
}

async fn differences(db: &TestDb<'_>, of: &str, and: &str) -> i64 {
    db.query_value(&format!(
        "select count(*) from ((({of}) except all ({and})) union all (({and}) except all ({of}))) d"
    ))
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn kept_are_the_rows_that_fulfil_it_and_the_way_back_has_all() {
    for change in [
        "alter column amount type bigint",
        "alter column price type numeric(12,2)",
        "alter column id type bigint",
    ] {
        let db = TestDb::create("kept").await;
        db.execute(TABLE).await;
        let run = [
            "run",
            "orders",
            "--alter",
            change,
            "--where",
            KEPT,
            "--allow-row-loss",
            "--chunk-time",
            "20ms",
            "-v",
        ];
        let writers = Writers::start(&db).await;
        let running = db.spawn_with("postgres", &run, &[("PGRECAST_FAILPOINT", "verified:1:stop")]);
        wait_until("it is verified", async || running.has_ended() || is_stopped(running.pid())).await;
        writers.go_on().await;
        writers.stop().await;
        running.signal("CONT");
        let output = running.wait().await.expect_code(0);
        let price = if change.contains("price") { "round(price, 2)" } else { "price" };
        let kept = format!("select id, state, amount, {price} from twin where {KEPT}");
        let there = "select id, state, amount, price from orders";
        assert_eq!(differences(&db, there, &kept).await, 0, "{change}: {}", output.whole());
        let rows: i64 = db.query_value("select count(*) from orders").await;
        assert!(rows > 100, "{change}: {rows} rows");
        // After the swap, rows are changed, deleted and inserted, also to values that are not kept and with keys of
        // rows that were not kept.
        let writers = Writers::start(&db).await;
        writers.go_on().await;
        db.pgrecast(&["rollback", "orders"]).await.expect_code(0);
        writers.stop().await;
        let all = |table: &str| format!("select id, state, amount, {price} from {table}");
        assert_eq!(differences(&db, &all("orders"), &all("twin")).await, 0, "{change}: after the rollback");
        db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
        assert_nothing_left(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_left_out_only_on_purpose_and_by_a_condition_that_stays_true() {
    let db = TestDb::create("on_purpose").await;
    db.execute(TABLE).await;
    db.execute("create table items (orders int references twin); create table numbers (n int)").await;
    let rebuild = ["orders", "--rebuild", "--where", KEPT];
    let plan = db.pgrecast(&[&["plan", "--json"], &rebuild[..]].concat()).await.expect_code(0).json();
    assert_eq!(plan["risks"][0]["code"], "row-loss", "{plan}");
    let shown = db.pgrecast(&[&["plan"], &rebuild[..]].concat()).await.expect_code(0).stdout;
    assert!(shown.contains("--allow-row-loss"), "{shown}");
    let output = db.pgrecast(&[&["run", "--json"], &rebuild[..]].concat()).await.expect_code(3);
    assert!(output.stderr.contains("--allow-row-loss"), "{}", output.whole());
    assert_eq!(output.json()["error"]["code"], "row-loss-not-allowed");
    for (table, condition, code, words) in [
        ("orders", "id in (select id from twin)", "where-reads-others", "it reads twin"),
        ("orders", "id = any (array(table numbers))", "where-reads-others", "it reads numbers"),
        ("orders", "id = (select max(id) from orders o)", "where-reads-others", "it reads orders"),
        ("orders", "price < random()", "volatile-expression", "random"),
        ("orders", "now() > '2020-01-01'", "volatile-expression", "now"),
        ("orders", "nosuch > 1", "not-accepted", "nosuch"),
        ("orders", "state::date < 'today'", "volatile-expression", "today"),
        ("orders", "amount", "not-accepted", ""),
        ("twin", "amount > 1", "where-foreign-keys", "items_orders_fkey"),
    ] {
        let run = ["run", table, "--rebuild", "--where", condition, "--allow-row-loss", "--json"];
        let output = db.pgrecast(&run).await.expect_code(3);
        assert!(output.stderr.contains(words), "{condition}: {}", output.whole());
        assert_eq!(output.json()["error"]["code"], code, "{condition}: {}", output.whole());
    }
    for (condition, words) in [("state = ", "not an expression"), ("ctid > '(1,1)'", "system columns")] {
        let run = ["run", "orders", "--rebuild", "--where", condition, "--allow-row-loss"];
        let output = db.pgrecast(&run).await.expect_code(2);
        assert!(output.stderr.contains(words), "{condition}: {}", output.whole());
    }
    // With --where, the growth of the tables cannot show that two rows got the same key.
    db.execute(
        "create table prices (id numeric(10,2) primary key, n int);
         insert into prices select g / 2.0, g from generate_series(1, 9) g",
    )
    .await;
    let (whole, back) = ("alter id type numeric(10)", "alter id type numeric(10,2)");
    let run = ["run", "prices", "--alter", whole, "--alter", back, "--where", "n > 1", "--allow-row-loss"];
    let output = db.pgrecast(&run).await.expect_code(3);
    assert!(output.stderr.contains("where-key-conversion"), "{}", output.whole());
    let in_place = [
        "run",
        "orders",
        "--alter",
        "add x int",
        "--where",
        KEPT,
        "--allow-row-loss",
        "--strategy",
        "in-place",
    ];
    let output = db.pgrecast(&in_place).await.expect_code(3);
    assert!(output.stderr.contains("needs-copy"), "{}", output.whole());
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_afterwards_means_the_rows_that_were_kept() {
    let db = TestDb::create("truncated").await;
    // A name that our own statements use, and a condition that fails for a later row.
    db.execute(
        "create table t (\"It's 100%\" int primary key, n int, word text);
         insert into t select g, g % 10 + 1, 'x' from generate_series(1, 300) g",
    )
    .await;
    let run = ["run", "t", "--where", "20 / n < 4", "--allow-row-loss"];
    let left_out: i64 = db.query_value("select count(*) from t where not 20 / n < 4").await;
    db.pgrecast(&run).await.expect_code(0);
    db.pgrecast(&["verify", "t"]).await.expect_code(0);
    db.execute(
        "insert into t values (500, 0, 'y'), (501, 1, 'y'); update t set n = 0 where \"It's 100%\" = 6",
    )
    .await;
    db.pgrecast(&["verify", "t"]).await.expect_code(0);
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    db.execute("truncate t; insert into t values (7, 7, 'after'), (502, 0, 'after'), (1, 1, 'anew')").await;
    db.pgrecast(&["verify", "t"]).await.expect_code(0);
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    let rows: Vec<String> = db
        .query_column(
            "select \"It's 100%\" || ' ' || n || ' ' || word from t where word <> 'x' order by \"It's 100%\"",
        )
        .await;
    assert_eq!(rows, ["1 1 anew", "7 7 after", "502 0 after"]);
    let old: i64 = db.query_value("select count(*) from t where word = 'x'").await;
    assert_eq!(old, left_out - 1, "those left out, but the one whose key was used");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_row_that_is_too_many_is_still_noticed() {
    let db = TestDb::create("too_many").await;
    db.execute("create table t (id int primary key, n int, u int unique); insert into t select g, g % 10, g from generate_series(1, 300) g")
        .await;
    let run = [
        "run",
        "t",
        "--alter",
        "add column m int",
        "--set",
        "m=n + 1",
        "--where",
        "n > 5",
        "--allow-row-loss",
    ];
    let plan =
        db.pgrecast(&[&["plan", "--json"], &run[1..run.len() - 1]].concat()).await.expect_code(0).json();
    assert_eq!(plan["rollback"]["lossless"], false, "{plan}");
    db.pgrecast(&run).await.expect_code(0);
    let retired: String = db.query_value("select retired_schema || '.t' from pgrecast.table_change").await;
    db.execute(&format!(
        "alter table {retired} disable trigger all; insert into {retired} values (900, 9, 900)"
    ))
    .await;
    let output = db.pgrecast(&["rollback", "t"]).await.expect_code(5);
    assert!(output.stderr.contains("id = 900 is in the copy only"), "{}", output.whole());
    db.execute(&format!("delete from {retired} where id = 900")).await;
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    let all: i64 = db.query_value("select count(*) from t").await;
    assert_eq!(all, 300);
}
