//! What holds the table's oid as a value: rows are counted and named as a risk, the table's own defaults follow it.

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_hold_the_oid_are_a_risk_with_their_number() {
    let db = TestDb::create("oid_values").await;
    db.execute(
        "create table t (id int primary key); create table other (id int primary key);
         create table audit (id int, relid oid, rel regclass, kind regtype, elsewhere regclass);
         insert into audit select g, 't'::regclass, case when g <= 3 then 't'::regclass end, case g when 1 then 't'::regtype end,
             'other' from generate_series(1, 7) g",
    )
    .await;
    let plan = db.pgrecast(&["plan", "t", "--rebuild", "--json"]).await.expect_code(0);
    let risks = plan.json()["risks"].clone();
    let risks: Vec<_> =
        risks.as_array().unwrap().iter().filter(|risk| risk["code"] == "oid-values").collect();
    let said = |column: &str| {
        let risk = risks.iter().find(|risk| risk["object"] == format!("public.audit.{column}"));
        risk.unwrap_or_else(|| panic!("{column}: {risks:?}"))["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(risks.len(), 3, "{risks:?}");
    assert!(said("relid").starts_with("7 rows hold"), "{risks:?}");
    assert!(said("rel").starts_with("3 rows hold"), "{risks:?}");
    assert!(said("kind").starts_with("1 row holds"), "{risks:?}");
    db.pgrecast(&["run", "t", "--rebuild"]).await.expect_code(0);
    for column in ["relid", "rel", "kind"] {
        let message = said(column);
        db.execute(&message[message.find("update ").unwrap()..]).await;
    }
    let right: i64 = db
        .query_value(
            "select count(*) filter (where relid = 't'::regclass) + count(*) filter (where rel = 't'::regclass)
                    + count(*) filter (where kind = 't'::regtype) from audit",
        )
        .await;
    assert_eq!(right, 11);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_that_names_its_own_table_goes_on_naming_it() {
    let db = TestDb::create("own_default").await;
    db.execute(
        "create table t (id int primary key, about regclass default 't'::regclass); insert into t values (1)",
    )
    .await;
    let about = "insert into t (id) select max(id) + 1 from t returning about::oid = 't'::regclass";
    db.pgrecast(&["run", "t", "--rebuild"]).await.expect_code(0);
    assert!(db.query_value::<bool>(about).await);
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    assert!(db.query_value::<bool>(about).await);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
