//! Every table of a database with objects of all kinds: changed and rolled back under a writer. Definitions differ only
//! by the requested change, including the objects that refer to the table, and no write is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::support::database::said;
use crate::support::dump::without_sequence_values;
use crate::support::*;

const GOLDEN: &str = include_str!("../support/golden.sql");

/// The tables, each with the expression for its rows; `g` counts from 1 to 300.
const TABLES: [(&str, &str); 28] = [
    ("rental.language", "(name) select 'l' || g"),
    ("rental.film", "(title, language_id) select 'film ' || g, 1 + g % 300"),
    ("rental.actor", "(first_name, last_name) select 'a', 'b' || g"),
    ("rental.film_actor", "select g, g"),
    ("rental.category", "(name) select 'c' || g"),
    ("rental.film_category", "select g, g"),
    ("rental.store", "select g, 1"),
    ("rental.staff", "select g, g, 'u' || g, nullif(g / 2, 0)"),
    ("rental.customer", "select g, g, 'a.b' || g"),
    ("rental.inventory", "select g, g, g"),
    ("rental.rental", "select g, '2026-01-01'::date + g, g, g"),
    ("shop.products", "(id, name, price) select g, 'p' || g, g"),
    ("shop.orders", "(id, customer) select md5(g::text)::uuid, g"),
    ("shop.order_items", "(order_id, line, product, quantity) select md5(g::text)::uuid, 1, g, g"),
    ("shop.prices", "(id, product, during) select g, g, '[2026-01-01,2026-02-01)'"),
    ("shop.stock", "(product, amount) select g, g"),
    ("forum.users", "(id, email) select g, 'E' || g"),
    ("forum.threads", "(id, author, title) select g, g, 't' || g"),
    ("forum.posts", "(id, thread, author, body) select g, g, g, 'words ' || g"),
    ("forum.votes", "select g, g, 1"),
    ("odd.\"Table With Spaces\"", "(\"Id\") select g"),
    ("odd.tree", "select g, nullif(g / 2, 0)"),
    ("odd.settings", "(id, c) select g, g"),
    ("odd.one", "default"),
    ("odd.two", "default"),
    ("odd.wide", "(id, c1) select g, g"),
    ("shop.audit", ""),
    (
        "rental.payment",
        "(payment_id, customer_id, rental_id, amount, paid) select g, g, g, 1, '2026-01-30'::date + g % 5",
    ),
];

async fn create(hint: &str) -> TestDb<'static> {
    let db = TestDb::create(hint).await;
    db.execute(GOLDEN).await;
    db.execute("begin; set constraints all deferred").await;
    for (table, rows) in TABLES {
        match rows {
            "" => {}
            "default" => {
                db.execute(&format!(
                    "insert into {table} (id) select nextval('odd.numbers') from generate_series(1, 300)"
                ))
                .await;
            }
            rows => {
                let (columns, query) = rows.split_at(rows.find("select").unwrap());
                let own = format!("{columns} overriding system value {query}");
                db.execute(&format!("insert into {table} {own} from generate_series(1, 300) g")).await;
            }
        }
    }
    db.execute("commit; refresh materialized view shop.best_sellers; analyze").await;
    db
}

/// Leaves processor time to pgrecast.
const PACE: std::time::Duration = std::time::Duration::from_millis(5);

/// Increments n of one row after the other, and returns how often.
struct Counter {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicI64>,
    task: tokio::task::JoinHandle<()>,
}

impl Counter {
    async fn start(db: &TestDb<'_>, table: &str) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let client = db.connect().await;
        let statement = format!(
            "update {table} set n = n + 1 where ctid = (select ctid from {table} order by random() limit 1)"
        );
        let task = {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let mut tick = tokio::time::interval(PACE);
                while !stop.load(Ordering::Relaxed) {
                    tick.tick().await;
                    match client.execute(&statement, &[]).await {
                        Ok(rows) => drop(done.fetch_add(rows as i64, Ordering::Relaxed)),
                        // The guard of the swap: retried, as an application does.
                        Err(error) if said(&error).contains("40001") => {}
                        Err(error) => panic!("{}: {statement}", said(&error)),
                    }
                }
            })
        };
        Counter { stop, done, task }
    }

    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        wait_until("rows are counted up", async || self.done.load(Ordering::Relaxed) > before + 3).await;
    }

    async fn stop(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.done.load(Ordering::Relaxed)
    }
}

async fn definition(db: &TestDb<'_>) -> String {
    without_sequence_values(&schema_dump(db).await)
}

fn nothing() -> Vec<String> {
    Vec::new()
}

/// Rebuilds the table and rolls back; then changes n to bigint, keeps that, and changes it to integer again.
async fn change_and_change_back(db: &TestDb<'_>, table: &str) {
    let pgrecast = async |arguments: &[&str]| drop(db.pgrecast(arguments).await.expect_code(0));
    let before = definition(db).await;
    let counter = Counter::start(db, table).await;
    pgrecast(&["run", table, "--rebuild"]).await;
    let rows: f32 =
        db.query_value(&format!("select reltuples from pg_class where oid = '{table}'::regclass")).await;
    assert!(rows >= 300.0, "{table} has no statistics: {rows}");
    counter.goes_on().await;
    assert_eq!(diff(&before, &definition(db).await), nothing(), "{table} rebuilt");
    pgrecast(&["rollback", table]).await;
    counter.goes_on().await;
    pgrecast(&["cleanup", table]).await;
    assert_eq!(diff(&before, &definition(db).await), nothing(), "{table} rolled back");

    pgrecast(&["run", table, "--alter", "alter column n type bigint"]).await;
    counter.goes_on().await;
    pgrecast(&["cleanup", table]).await;
    let differs = diff(&before, &definition(db).await);
    let lines = |sign: char| {
        let mut lines: Vec<String> = differs
            .iter()
            .filter(|line| line.starts_with(sign))
            .map(|line| line[2..].replace("bigint", "integer"))
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(lines('+'), lines('-'), "{table} differs by the type of n alone");
    assert!(differs.iter().any(|line| line.contains("bigint")), "{table}: {differs:?}");
    pgrecast(&["run", table, "--alter", "alter column n type integer"]).await;
    pgrecast(&["cleanup", table]).await;
    assert_eq!(diff(&before, &definition(db).await), nothing(), "{table} changed back");
    let written = counter.stop().await;
    let n: i64 = db.query_value(&format!("select sum(n)::bigint from {table}")).await;
    assert_eq!(n, written, "{table} has lost a write");
    assert_nothing_left(db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_of_the_golden_database_is_changed_and_changed_back() {
    let db = create("golden").await;
    let tables = TABLES.iter().filter(|(table, _)| !["shop.audit", "rental.payment"].contains(table));
    for (table, _) in some(tables, 0, 4) {
        change_and_change_back(&db, table).await;
    }
    db.assert_no_deadlock();
}
