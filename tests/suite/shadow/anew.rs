//! What is created again on the shadow anyway does not stand in the way of a change, although PostgreSQL refuses it.

use crate::support::*;

/// Runs the change on `t` and goes back: the schema is what it was.
async fn there_and_back(db: &TestDb<'_>, change: &[&str]) {
    let before = schema_dump(db).await;
    db.pgrecast(&[&["run", "t"], change].concat()).await.expect_code(0);
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_eq!(diff(&before, &schema_dump(db).await), Vec::<String>::new());
    assert_nothing_left(db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_a_trigger_names_gets_another_type() {
    let db = TestDb::create("anew").await;
    db.execute(
        "create table t (id int primary key, owner int not null, note text);
         insert into t select g, g % 7, 'n' from generate_series(1, 100) g;
         create table seen (what text);
         create function see() returns trigger language plpgsql as $$
             begin insert into public.seen values (tg_name || ' ' || new.owner); return new; end $$;
         create trigger b before update of owner on t for each row when (old.owner <> new.owner) execute function see();
         comment on trigger b on t is 'first';
         create trigger c after insert on t for each row when (new.id > 90 and new.owner > 5) execute function see();
         alter table t enable always trigger c;
         create constraint trigger d after update on t deferrable initially deferred for each row
             when (new.owner = 1) execute function see();
         create trigger e after insert on t for each row when (new.id = 0) execute function see();
         alter table t disable trigger e;
         create statistics s (ndistinct) on id, owner from t; alter statistics s set statistics 99;
         create statistics s_sum on (id + owner) from t",
    )
    .await;
    there_and_back(&db, &["--alter", "alter owner type bigint, alter id type bigint"]).await;
    db.pgrecast(&["run", "t", "--alter", "alter owner type bigint"]).await.expect_code(0);
    db.execute("update t set owner = 4000000000 where id = 3; insert into t values (200, 9, 'n')").await;
    let seen = db.query_column::<String>("select what from seen order by what").await;
    assert_eq!(seen, ["b 4000000000", "c 9"], "they fire on the new table");
    let states = "select string_agg(tgname || tgenabled::text, ' ' order by tgname) from pg_trigger
                  where tgrelid = 't'::regclass and tgname ~ '^[a-z]$'";
    assert_eq!(db.query_value::<String>(states).await, "bO cA dO eD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_does_not_fit_the_new_type_is_refused() {
    let db = TestDb::create("anew").await;
    db.execute(
        "create table t (id int primary key, a int);
         create function see() returns trigger language plpgsql as 'begin return new; end';
         create trigger b before update on t for each row when (new.a > 3) execute function see()",
    )
    .await;
    let change = ["plan", "t", "--alter", "alter a type text", "--reverse", "a=a::int"];
    let said = db.pgrecast(&change).await.expect_code(3).whole();
    assert!(said.contains("operator does not exist: text > integer"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_a_generated_column_reads_gets_another_type() {
    let db = TestDb::create("anew").await;
    db.execute(
        r#"create table t (id int generated always as identity primary key, a int default 3 check (a > 0),
             twice int generated always as (a * 2) stored not null, "B" text collate "C" default 'x',
             joined text collate "C" generated always as ("B" || (id::text)) stored, last int);
         alter table t alter a set statistics 77, alter "B" set storage external; comment on column t.a is 'count';
         comment on column t.twice is 'computed'; create index t_twice on t (twice); create statistics s on a, twice from t;
         insert into t (a, last) select g, g from generate_series(1, 200) g"#,
    )
    .await;
    let change =
        ["--alter", "alter a type bigint, alter id type bigint", "--alter", "alter last type bigint"];
    there_and_back(&db, &change).await;
    let before = schema_dump(&db).await;
    db.pgrecast(&[&["run", "t"], &change[..]].concat()).await.expect_code(0);
    db.execute("insert into t (a) values (7); update t set a = a + 1 where id = 5").await;
    let rows = r#"select string_agg(concat_ws(' ', id, a, twice, "B", joined), ', ' order by id) from t where id in (5, 201)"#;
    assert_eq!(db.query_value::<String>(rows).await, "5 6 12 x x5, 201 7 14 x x201");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    let lines = diff(&before, &schema_dump(&db).await);
    assert!(
        !lines.is_empty() && lines.iter().all(|line| line.contains("int") || line.contains("sequence value")),
        "{lines:#?}"
    );
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_column_that_is_in_the_way_is_named_with_the_way_round() {
    let db = TestDb::create("anew").await;
    db.execute(
        "create table t (id int primary key, a int, twice int generated always as (a * 2) stored);
         insert into t (id, a) select g, g from generate_series(1, 50) g",
    )
    .await;
    let using = ["plan", "t", "--alter", "alter a type bigint using a + 1", "--reverse", "a=a-1"];
    let said = db.pgrecast(&using).await.expect_code(3).whole();
    assert!(said.contains("generated column twice reads it") && said.contains("drop column twice"), "{said}");
    let change = [
        "--alter",
        "drop column twice",
        "--alter",
        "alter a type bigint using a + 1",
        "--alter",
        "add column twice bigint generated always as (a * 2) stored",
        "--reverse",
        "a=a-1",
    ];
    there_and_back(&db, &change).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_have_a_generated_column() {
    let db = TestDb::create("anew").await;
    db.execute(
        "create table t (a int not null, g int generated always as (a % 10) stored, n int, primary key (g, a));
         insert into t (a, n) select g, g from generate_series(1, 500) g",
    )
    .await;
    there_and_back(&db, &["--alter", "alter n type bigint"]).await;
    db.pgrecast(&["run", "t", "--alter", "alter n type bigint"]).await.expect_code(0);
    // Rows that stay, move from key to key, go and come.
    db.execute(
        "update t set n = n + 1 where a < 50; update t set a = a + 1000 where a between 50 and 99;
         delete from t where a between 200 and 220; insert into t (a, n) values (5000, 1)",
    )
    .await;
    db.execute("create table wanted as table t").await;
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    let differs =
        "select count(*) from (table t except table wanted union all (table wanted except table t)) d";
    assert_eq!(db.query_value::<i64>(differs).await, 0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    // Computed from other values, it is no key.
    db.execute("create table u (a int, g int generated always as (a * 2) stored primary key)").await;
    db.pgrecast(&["plan", "u", "--alter", "alter a type numeric(20, 1)"]).await.expect_code(3);
    let change = [
        "--alter",
        "drop column g",
        "--alter",
        "alter a type int using a + 1",
        "--alter",
        "add column g int generated always as (a * 2) stored primary key",
        "--reverse",
        "a=a-1",
    ];
    let said = db.pgrecast(&[&["plan", "u"], &change[..]].concat()).await.expect_code(3).whole();
    assert!(said.contains("key-changed"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_may_be_dropped_and_created_under_its_name() {
    let db = TestDb::create("anew").await;
    db.execute(
        "create table t (id int primary key, a int); insert into t select g, g from generate_series(1, 100) g;
         create unique index t_a on t (a) where a > 3",
    )
    .await;
    let change = ["--alter", "alter a type bigint"];
    let file = "drop index t_a; alter table t alter column a type bigint; create unique index t_a on t (a) where a > 8;";
    let path = std::env::temp_dir().join(format!("pgrecast-anew-{}.sql", std::process::id()));
    std::fs::write(&path, file).unwrap();
    there_and_back(&db, &change).await;
    there_and_back(&db, &["--file", path.to_str().unwrap()]).await;
    std::fs::write(&path, "drop index t_a; create index t_a on t (a desc);").unwrap();
    there_and_back(&db, &["--file", path.to_str().unwrap()]).await;
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constraint_of_the_users_may_have_the_name_of_a_step() {
    let db = TestDb::create("anew").await;
    db.execute(
        "create table t (id int primary key, b int, constraint pgrecast_not_null_2 check (b > -4),
                         constraint pgrecast_not_null_2_1 unique (b));
         insert into t select g, g from generate_series(1, 100) g",
    )
    .await;
    let plan = db
        .pgrecast(&["plan", "t", "--alter", "alter b set not null", "--json", "--strategy", "auto"])
        .await
        .expect_code(0)
        .json();
    assert_eq!(plan["strategy"], "staged", "{plan}");
    db.pgrecast(&[
        "run",
        "t",
        "--alter",
        "alter b set not null",
        "--strategy",
        "auto",
        "--max-lock-time",
        "1min",
    ])
    .await
    .expect_code(0);
    let checks = "select string_agg(conname, ' ' order by conname) from pg_constraint where conrelid = 't'::regclass and contype <> 'n'";
    assert_eq!(db.query_value::<String>(checks).await, "pgrecast_not_null_2 pgrecast_not_null_2_1 t_pkey");
}
