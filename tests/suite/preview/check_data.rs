//! `plan --check-data`: its counts equal those of PostgreSQL, and if it reports nothing, a run succeeds.

use crate::support::{TestDb, schema_dump};
use serde_json::Value;

const TABLE: &str = "
    create table customer (id int primary key);
    insert into customer select generate_series(1, 1000);
    create table orders (id int primary key, price numeric(12,4), code text, seen timestamptz, customer_id int, note text)
        with (fillfactor = 10);
    insert into orders select g, case when g % 10 = 0 then g + 0.123 else g end,
        case when g % 50 = 0 then 'x' || g else g::text end, '2026-01-01', g % 1001, case when g % 4 > 0 then 'n' || g % 5000 end
    from generate_series(1, 40000) g";

async fn risks(db: &TestDb<'_>, change: &str, more: &[&str]) -> Value {
    let mut plan = vec!["plan", "orders", "--alter", change, "--strategy", "auto", "--check-data", "--json"];
    plan.extend(more);
    db.pgrecast(&plan).await.expect_code(0).json()["risks"].clone()
}

fn of<'a>(risks: &'a Value, code: &str) -> Option<&'a str> {
    risks
        .as_array()
        .unwrap()
        .iter()
        .find(|risk| risk["code"] == code)
        .map(|risk| risk["message"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_a_copy_are_counted_and_named() {
    let db = TestDb::create("check_data").await;
    db.execute(TABLE).await;
    let owner = db.owner_role("careful", &["orders"]).await;
    db.execute(&format!("revoke temporary on database {} from public", db.name())).await;

    let plan = ["plan", "orders", "--alter", "alter code type int using code::int", "--check-data"];
    let denied = db.pgrecast_as(&owner, &plan).await.expect_code(1);
    assert!(denied.stderr.contains("GRANT TEMPORARY"), "{}", denied.whole());
    db.execute(&format!("grant temporary on database {} to public", db.name())).await;

    let before = schema_dump(&db).await;
    let found = risks(&db, "alter code type int using code::int", &["--reverse", "code=code::text"]).await;
    let said = of(&found, "does-not-convert").unwrap();
    assert!(
        said.starts_with("800 rows ") && said.contains("invalid input syntax") && said.contains("id = "),
        "{said}"
    );
    assert_eq!(said.matches("id = ").count(), 10, "{said}");

    let found = risks(&db, "alter price type int", &[]).await;
    let said = of(&found, "values-change").unwrap();
    assert!(said.starts_with("4000 rows ") && said.contains("integer"), "{said}");
    assert_eq!(of(&found, "does-not-convert"), None);

    // In a copy, which the other action needs.
    let found = risks(&db, "alter id type bigint, alter note set not null", &[]).await;
    assert!(of(&found, "nulls").unwrap().starts_with("10000 rows "), "{found}");
    assert_eq!(of(&found, "values-change"), None);

    let found = risks(&db, "alter price type numeric(14,5)", &[]).await;
    assert!(
        ["nulls", "values-change", "does-not-convert"].iter().all(|code| of(&found, code).is_none()),
        "{found}"
    );
    assert_eq!(schema_dump(&db).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_keep_a_constraint_from_being_proven_are_counted_and_named() {
    let db = TestDb::create("check_proofs").await;
    db.execute(TABLE).await;
    let orphans: i64 = db.query_value("select count(*) from orders where customer_id = 0").await;
    for (change, code, rows) in [
        ("alter note set not null", "nulls", 10_000),
        ("add check (price < 39990)", "check-violations", 11),
        ("add foreign key (customer_id) references customer", "orphans", orphans),
        ("add unique (note)", "duplicates", 3750),
    ] {
        let found = risks(&db, change, &[]).await;
        let said = of(&found, code).unwrap_or_else(|| panic!("{change}: {found}"));
        assert!(said.starts_with(&format!("{rows} ")), "{change}: {said}");
    }
    let found = risks(&db, "add unique (id), add check (price > 0), alter price set not null", &[]).await;
    let codes: Vec<&str> =
        found.as_array().unwrap().iter().map(|risk| risk["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["refused-early"], "{found}");
    // NULLs that are not distinct; and what cannot be looked at is named.
    if db.version >= 15 {
        let found = risks(&db, "add unique nulls not distinct (note)", &[]).await;
        assert!(of(&found, "duplicates").unwrap().starts_with("3751 "), "{found}");
    }
    let found = risks(&db, "rename note to label, add unique (label)", &[]).await;
    assert!(of(&found, "not-checked").is_some(), "{found}");
    let mut plan = vec![
        "plan",
        "orders",
        "--alter",
        "add unique (note)",
        "--strategy",
        "auto",
        "--fail-on",
        "duplicates",
    ];
    db.pgrecast(&plan).await.expect_code(2); // only --check-data can tell
    plan.push("--check-data");
    db.pgrecast(&plan).await.expect_code(3);
    // If another action needs a copy too.
    let found = risks(&db, "alter id type bigint, add unique (note), add check (price < 39990)", &[]).await;
    assert!(of(&found, "duplicates").is_some() && of(&found, "check-violations").is_some(), "{found}");
}
