//! `--set`: the value of an added column for existing rows.

use crate::support::ending::is_stopped;
use crate::support::{TestDb, assert_nothing_left, wait_until};

const TABLE: &str = "
    create table orders (id int primary key, price numeric not null, quantity int not null);
    insert into orders select g, g, 2 from generate_series(1, 2000) g";

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_computed_from_the_row_as_it_is_in_the_swap() {
    let db = TestDb::create("computed").await;
    db.execute(TABLE).await;
    let run = [
        "run",
        "orders",
        "--alter",
        "add total numeric not null, rename quantity to items",
        "--set",
        "total=price * items",
        "--strategy",
        "auto",
    ];
    let plan = db.pgrecast(&[&["plan", "--json"], &run[1..]].concat()).await.expect_code(0).json();
    let codes: Vec<&str> =
        plan["risks"].as_array().unwrap().iter().map(|risk| risk["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"required-column"), "{codes:?}");
    let running = db.spawn_with("postgres", &run, &[("PGRECAST_FAILPOINT", "copied:1:stop")]);
    wait_until("the rows are copied", async || is_stopped(running.pid())).await;
    db.execute(
        "update orders set price = price + 1 where id % 3 = 0; delete from orders where id % 7 = 0;
         insert into orders values (5001, 50, 3)",
    )
    .await;
    running.signal("CONT");
    running.wait().await.expect_code(0);
    let wrong: i64 = db.query_value("select count(*) from orders where total <> price * items").await;
    let rows: i64 = db.query_value("select count(*) from orders").await;
    assert_eq!((wrong, rows), (0, 2000 - 285 + 1));
    let is_required = "select attnotnull and not atthasdef from pg_attribute where attrelid = 'orders'::regclass and attname = 'total'";
    assert!(db.query_value::<bool>(is_required).await);
    db.execute("insert into orders values (5002, 50, 3, 7)").await;
    db.pgrecast(&["rollback", "orders"]).await.expect_code(0);
    let quantity: i32 = db.query_value("select quantity from orders where id = 5002").await;
    assert_eq!(quantity, 3);
    db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_value_for_all_writes_no_row() {
    let db = TestDb::create("constant").await;
    db.execute(TABLE).await;
    let file = "select pg_relation_filenode('orders')";
    let before: u32 = db.query_value(file).await;
    let change =
        ["orders", "--alter", "add state text not null", "--set", "state='open'", "--strategy", "auto"];
    let plan = db.pgrecast(&[&["plan", "--json"], &change[..]].concat()).await.expect_code(0).json();
    assert_eq!(plan["strategy"], "instant", "{plan}");
    let risks = plan["risks"].as_array().unwrap();
    assert!(risks.iter().any(|risk| risk["code"] == "required-column"), "{plan}");
    let shown = db.pgrecast(&[&["plan"], &change[..]].concat()).await.expect_code(0).stdout;
    assert!(shown.contains("--set 'state='\\''open'\\'''"), "{shown}");
    db.pgrecast(&[&["run"], &change[..]].concat()).await.expect_code(0);
    let open: i64 = db.query_value("select count(*) from orders where state = 'open'").await;
    assert_eq!(open, 2000);
    assert_eq!(db.query_value::<u32>(file).await, before);
    let has_default =
        "select atthasdef from pg_attribute where attrelid = 'orders'::regclass and attname = 'state'";
    assert!(!db.query_value::<bool>(has_default).await, "new rows are to say their state");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_set_is_said() {
    let db = TestDb::create("not_set").await;
    db.execute(TABLE).await;
    for (set, code, words) in [
        ("price=1", 2, "which the change does not add"),
        ("total=total + 1", 2, "depends on its own value"),
        ("total=extract(epoch from timestamptz 'now')", 3, "can return a different result each time"),
        ("total", 2, "needs 'column=expression'"),
        ("total=random()", 3, "can return a different result each time"),
        ("total=nosuch + 1", 3, "nosuch"),
        ("total='x' || price", 3, ""),
    ] {
        let plan = ["plan", "orders", "--alter", "add total numeric", "--set", set];
        let output = db.pgrecast(&plan).await.expect_code(code);
        assert!(output.whole().contains(words), "{set}: {}", output.whole());
    }
    assert_nothing_left(&db).await;
}
