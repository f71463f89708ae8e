//! Views, policies, foreign keys and subscribers under traffic: the swap succeeds whichever way applications access the
//! table, and no statement fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::database::said;
use crate::support::ending::is_stopped;
use crate::support::*;

const TABLES: &str = "
    create table parents (id int primary key, n int default 0);
    insert into parents select g, 0 from generate_series(1, 100) g;
    create table orders (id int primary key, parent int not null references parents, amount int not null);
    insert into orders select g, 1 + g % 100, g from generate_series(1, 5000) g;
    create table items (id bigserial primary key, orders int not null references orders, n int);
    insert into items (orders, n) select 1 + g % 5000, g from generate_series(1, 5000) g;
    create view small as select id, parent, amount from orders where amount > 0;
    create view summed as select s.parent, sum(s.amount) from small s join parents p on p.id = s.parent group by 1;
    create materialized view totals as select parent, count(*) from orders group by parent;
    create table secrets (id int primary key, parent int);
    insert into secrets select g, g from generate_series(1, 100) g;
    alter table secrets enable row level security; alter table secrets force row level security;
    create policy known on secrets using (exists (select from orders o where o.id = secrets.id))";

/// Statements that run repeatedly, each in its own session, and their errors.
struct Traffic {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    sessions: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Traffic {
    async fn start(db: &TestDb<'_>, statements: &[&'static str]) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut sessions = Vec::new();
        for &statement in statements {
            let client = db.connect().await;
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            sessions.push(tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) && !client.is_closed() {
                    match client.simple_query(statement).await {
                        Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.push(format!("{}: {statement}", said(&error))),
                    }
                }
                failed
            }));
        }
        Traffic { stop, done, sessions }
    }

    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        wait_until("statements are done", async || self.done.load(Ordering::Relaxed) > before + 20).await;
    }

    async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        for session in self.sessions {
            let mut errors: Vec<String> = session.await.unwrap();
            let count = errors.len();
            errors.dedup();
            errors.truncate(5);
            failed.extend(errors.into_iter().map(|error| format!("{error} (one of {count})")));
        }
        failed
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_swap_comes_through_whatever_leads_to_the_table() {
    let db = TestDb::create("ways").await;
    db.execute(TABLES).await;
    let traffic = Traffic::start(
        &db,
        &[
            "select count(*) from small where id = 17",
            "select count(*) from small where id = 18",
            "select count(*) from summed where parent = 7",
            "select count(*) from totals",
            "insert into items (orders, n) values (5, 5)",
            "begin; insert into items (orders, n) values (6, 6); update orders set amount = amount + 1 where id = 6; commit",
            "update small set amount = amount + 1 where id = 8",
            "begin; update orders set amount = amount + 1 where id = 9; insert into items (orders, n) values (9, 6); commit",
            "insert into orders select max(id) + 1, 1, 1 from orders on conflict do nothing",
            "select count(*) from secrets",
            "begin; select count(*) from orders where id = 3; update parents set n = n + 1 where id = 3; commit",
        ],
    )
    .await;
    for change in ["alter column amount type bigint", "alter column parent set not null"] {
        traffic.goes_on().await;
        db.pgrecast(&["run", "orders", "--alter", change]).await.expect_code(0);
        traffic.goes_on().await;
        db.pgrecast(&["rollback", "orders"]).await.expect_code(0);
        db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
    }
    traffic.goes_on().await;
    assert_eq!(traffic.stop().await, Vec::<String>::new());
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_names_the_locks_that_the_swap_takes() {
    let db = TestDb::create("lock_list").await;
    db.execute(TABLES).await;
    let change = ["orders", "--alter", "alter column amount type bigint"];
    let plan = db.pgrecast(&[&["plan"], &change[..], &["--json"]].concat()).await.expect_code(0).json();
    let planned: BTreeSet<String> = plan["locks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lock| lock["object"].as_str().unwrap().to_owned())
        .collect();
    let run = [&["run"], &change[..]].concat();
    let running = db.spawn_with("postgres", &run, &[("PGRECAST_FAILPOINT", "swap-ready:1:stop")]);
    wait_until("it is right before the commit of the swap", async || is_stopped(running.pid())).await;
    let held: Vec<String> = db
        .query_column(
            "select l.relation::regclass::text from pg_locks l join pg_class c on c.oid = l.relation
             join pg_stat_activity a on a.pid = l.pid
             where a.application_name like 'pgrecast%' and l.granted and l.mode = 'AccessExclusiveLock'
               and c.relkind in ('r', 'p', 'v', 'm') and c.relnamespace = 'public'::regnamespace",
        )
        .await;
    running.signal("CONT");
    running.wait().await;
    let held: BTreeSet<String> = held.into_iter().map(|name| format!("public.{name}")).collect();
    assert_eq!(held, planned);
    assert_eq!(held.len(), 7, "{held:?}");
}

/// Changes by another session to objects that refer to the table, while a migration is open.
const MEDDLING: [&str; 12] = [
    "create view more as select id from orders",
    "create or replace view small as select id, parent, amount from orders where amount > 1",
    "grant select on small to public",
    "alter view small set (security_barrier)",
    "create index on totals (parent)",
    "alter policy known on secrets using (exists (select from orders o where o.parent = secrets.id))",
    "create policy more on orders using (true)",
    "create rule more as on delete to orders do also select 1",
    "create function more(orders) returns int language sql as 'select 1'",
    "create table typed (o orders)",
    "create statistics st on parent, count from totals",
    "alter materialized view totals alter column parent set statistics 50; comment on materialized view totals is 'x'",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_do_to_what_names_the_table_is_noticed() {
    let db = TestDb::create("meddling").await;
    let change = ["run", "orders", "--rebuild"];
    for meddling in some(MEDDLING, 0, 3) {
        db.execute(&format!("drop schema public cascade; create schema public; {TABLES}")).await;
        let reader = db.connect().await;
        reader.batch_execute("begin; select count(*) from orders").await.unwrap();
        db.pgrecast(&[&change[..], &["--lock-attempts", "1"]].concat()).await.expect_code(1);
        reader.batch_execute("commit").await.unwrap();
        db.execute(meddling).await;
        let before = schema_dump(&db).await;
        let said = db.pgrecast(&["run", "orders"]).await.expect_code(5).stderr;
        assert!(
            said.contains("another session has changed the definition of public.orders"),
            "{meddling}: {said}"
        );
        db.pgrecast(&["abort", "orders"]).await.expect_code(0);
        assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new(), "{meddling}");
        assert_nothing_left(&db).await;

        db.execute(&format!("drop schema public cascade; create schema public; {TABLES}")).await;
        db.pgrecast(&change).await.expect_code(0);
        db.execute(meddling).await;
        let before = schema_dump(&db).await;
        let said = db.pgrecast(&["rollback", "orders"]).await.expect_code(5).stderr;
        assert!(said.contains("changed since the swap"), "{meddling}: {said}");
        db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
        assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new(), "{meddling}");
        assert_nothing_left(&db).await;
    }
}

/// The expected rows of the subscriber.
async fn rows(db: &TestDb<'_>) -> Vec<String> {
    db.query_column("select concat_ws('|', id, amount, note) from orders order by id").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_goes_on_before_during_and_after_the_swap() {
    let (publisher, subscriber) = (Cluster::start(&["wal_level=logical"]), Cluster::start(&[]));
    let db = TestDb::create_in(&publisher, "publisher").await;
    let copy = TestDb::create_in(&subscriber, "subscriber").await;
    db.execute(
        "create table orders (id int primary key, amount int not null, note text, secret text);
         insert into orders select g, g, 'n' || g, 's' from generate_series(1, 2000) g;
         create publication p for table orders /*since 15*/(id, amount, note) where (id >= 0)/*end*/",
    )
    .await;
    // A subscriber needs all that is published.
    let all = if db.version < 15 { ", secret text" } else { "" };
    copy.execute(&format!("create table orders (id bigint primary key, amount bigint, note text{all})"))
        .await;
    copy.execute(&format!(
        "create subscription s connection 'host={} port={} user=postgres dbname={}' publication p",
        publisher.socket_directory().display(),
        publisher.port(),
        db.name()
    ))
    .await;
    let level = async |when: &str| {
        db.execute("update orders set note = note || '.' where id % 10 = 1").await;
        wait_until(&format!("the subscriber is level {when}"), async || rows(&db).await == rows(&copy).await)
            .await;
        if copy.version >= 15 {
            let errors = "select apply_error_count + sync_error_count from pg_stat_subscription_stats";
            assert_eq!(copy.query_value::<i64>(errors).await, 0, "{when}");
        }
    };
    level("at first").await;
    let traffic = Traffic::start(
        &db,
        &[
            "insert into orders select max(id) + 1, 1, 'new' from orders on conflict do nothing",
            "update orders set amount = amount + 1 where id = 8",
            // Without the limit it could be faster than the INSERT, until no row is left.
            "delete from orders where id = (select max(id) from orders) and id > 1000",
        ],
    )
    .await;
    for change in ["alter column id type bigint, alter column amount type bigint", "drop column secret"] {
        traffic.goes_on().await;
        db.pgrecast(&["run", "orders", "--alter", change]).await.expect_code(0);
        traffic.goes_on().await;
        db.pgrecast(&["rollback", "orders"]).await.expect_code(0);
        traffic.goes_on().await;
        db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
        db.pgrecast(&["run", "orders", "--alter", change]).await.expect_code(0);
        traffic.goes_on().await;
        db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
    }
    assert_eq!(traffic.stop().await, Vec::<String>::new());
    level("at last").await;
    copy.execute("drop subscription s").await;
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_names_foreign_keys_that_are_still_to_be_validated() {
    let db = TestDb::create("not_valid").await;
    db.execute(TABLES).await;
    let environment = [("PGRECAST_FAILPOINT", "foreign-key-validated:1")];
    let run = ["run", "orders", "--rebuild"];
    db.spawn_with("postgres", &run, &environment).wait().await.expect_code(-1);
    let status = db.pgrecast(&["status", "orders", "--json"]).await.expect_code(0).json();
    assert_eq!(status["not_validated"].as_array().unwrap().len(), 1, "{status}");
    let shown = db.pgrecast(&["status", "orders"]).await.expect_code(0).stdout;
    assert!(
        shown.contains("NOT VALID until `pgrecast run` continues: orders_parent_fkey on public.orders"),
        "{shown}"
    );
    db.pgrecast(&run).await.expect_code(0);
    let status = db.pgrecast(&["status", "orders", "--json"]).await.expect_code(0).json();
    assert_eq!(status["not_validated"].as_array().unwrap().len(), 0, "{status}");
}
