//! Columns in another order: nothing else about them changes, and `plan` says how much space it saves.

use crate::support::{TestDb, Workload, assert_nothing_left, diff, schema_dump, some};

/// A table with every property that a column can have.
const TABLE: &str = r#"
    create domain positive as int check (value > 0);
    create table t (
        flag boolean not null default true, id bigint generated always as identity primary key, small smallint,
        made timestamptz not null default '2026-01-01', note text collate "C" default 'x', n int check (n > 0),
        twice int generated always as (n * 2) stored, d date, code serial, big text, "odd, name" float8, p positive,
        gone int, constraint late check (d > '2000-01-01') not valid);
    alter table t drop column gone;
    alter table t alter big set storage external, alter big set compression pglz, alter n set statistics 77,
        alter note set (n_distinct = 5);
    comment on column t.n is 'the n';
    grant select (n), update (note) on t to public;
    create index on t (n, note); create unique index on t (code) include (d);
    create statistics s on n, d from t;
    create view v as select * from t;
    create function f() returns trigger language plpgsql as $$ begin new.note := new.note || '!'; return new; end $$;
    create trigger tr before update of n on t for each row when (old.n is distinct from new.n) execute function f();
    insert into t (small, n, d, note, big, p) select g % 7, g, '2026-01-01', 'note ' || g, repeat('y', 30), g
        from generate_series(1, 3000) g
"#;

/// Everything about the columns except their positions.
async fn columns(db: &TestDb<'_>) -> Vec<String> {
    db.query_column(
        "select concat_ws('|', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef, a.attidentity,
             a.attgenerated, a.attcollation, a.attstorage, a.attcompression, a.attstattarget, a.attacl, a.attislocal,
             a.attinhcount, array(select o from unnest(a.attoptions) o where o not like 'pg_attver=%'),
             pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
         from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
         where a.attrelid = 't'::regclass and a.attnum > 0 and not a.attisdropped order by a.attname",
    )
    .await
}

async fn order(db: &TestDb<'_>) -> String {
    db.query_value(
        "select string_agg(attname, ' ' order by attnum) from pg_attribute
         where attrelid = 't'::regclass and attnum > 0 and not attisdropped",
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_get_their_places_and_keep_all_else() {
    let db = TestDb::create("columns").await;
    db.execute(TABLE).await;
    let (before, dump) = (columns(&db).await, schema_dump(&db).await);
    let rows =
        "select concat_ws('|', id, flag, small, made, note, n, twice, d, code, big, p) from t order by id";
    let contents: Vec<String> = db.query_column(rows).await;
    db.pgrecast(&["run", "t", "--columns", r#"id, made,"odd, name",twice"#]).await.expect_code(0);
    assert_eq!(order(&db).await, "id made odd, name twice flag small note n d code big p");
    assert_eq!(columns(&db).await, before);
    assert_eq!(db.query_column::<String>(rows).await, contents);
    // With its old names.
    assert_eq!(db.query_column::<String>(&rows.replace("from t", "from v")).await, contents);
    db.execute("update t set n = 5000 where id = 7; insert into t (n, p) values (6000, 1); delete from t where id = 8").await;
    let written: Vec<String> = db.query_column(rows).await;
    assert!(written.iter().any(|row| row.contains("|note 7!|5000|10000|")), "{written:?}");
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_eq!(db.query_column::<String>(rows).await, written);
    let without_values = |lines: &str| crate::support::dump::without_sequence_values(lines);
    assert_eq!(diff(&without_values(&dump), &without_values(&schema_dump(&db).await)), Vec::<String>::new());
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_shape_follows_its_columns_to_their_places() {
    let db = TestDb::create("shape").await;
    db.execute(TABLE).await;
    db.execute("drop view v").await;
    let change = "alter made type timestamp, add extra int default 7, drop big, alter p type bigint";
    let renames = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(renames.path(), format!("alter table t rename small to tiny; alter table t {change};"))
        .unwrap();
    let file = renames.path().to_str().unwrap();
    // With the names from before the change.
    db.pgrecast(&["run", "--file", file, "--columns", "p,small"]).await.expect_code(0);
    assert_eq!(order(&db).await, "p tiny flag id made note n twice d code odd, name extra");
    let wrong: i64 = db
        .query_value(
            "select count(*) from t where p <> n or tiny <> n % 7 or twice <> n * 2 or note <> 'note ' || n or extra <> 7",
        )
        .await;
    assert_eq!(wrong, 0);
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    assert_eq!(order(&db).await, "flag id small made note n twice d code big odd, name p");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    for (columns, said) in
        [("nosuch", "no column nosuch"), ("n,id,n", "n is named twice"), ("a b", "not the name of")]
    {
        let output = db.pgrecast(&["run", "t", "--columns", columns]).await.expect_code(2);
        assert!(output.stderr.contains(said) && output.stderr.contains("--columns"), "{}", output.whole());
    }
    assert_nothing_left(&db).await;
}

/// What the server stores by column position would silently mean other columns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_columns_by_their_places_is_named() {
    let db = TestDb::create("places").await;
    db.execute(
        "create table t (a int primary key, b int not null, c int); insert into t select g, g, g from generate_series(1, 9) g;
         create table other (id int, who int)",
    )
    .await;
    let run = ["run", "t", "--columns", "c,b"];
    for (user, drop) in [
        ("create view u as select x.p, x.q from t x(p, q)", "view u"),
        (r#"create view u as select 1 as one from t "an alias"("p ) q")"#, "view u"),
        ("create view u as select j.m from (t join other on id = a) j(m, n, o)", "view u"),
        (
            "create materialized view u as select (select q from t y(p, q) where y.p = x.a) from t x",
            "materialized view u",
        ),
        ("create view u as select r.a from t, jsonb_populate_record(null::t, to_jsonb(t)) r", "view u"),
        ("create view u as select (row(a, b, c)::t).a as f from t", "view u"),
        (
            "create rule u as on insert to other do also delete from t using (select * from t y(k, v)) z where z.k = t.a",
            "rule u on other",
        ),
        (
            "create policy u on other using (exists (select from t x(k, o) where x.k = id))",
            "policy u on other",
        ),
        ("create function u() returns setof t language sql begin atomic select * from t; end", "function u"),
        (
            "create function u(int) returns int language sql begin atomic select x.q from t x(p, q) where x.p = $1; end",
            "function u",
        ),
        ("create function u() returns setof t language sql as 'select a, b, c from t'", "function u"),
    ] {
        db.execute(user).await;
        let refused = db.pgrecast(&run).await.expect_code(3);
        assert!(
            refused.stderr.contains("columns-by-place") && refused.stderr.contains(" u"),
            "{}",
            refused.whole()
        );
        db.execute(&format!("drop {drop}")).await;
    }
    // These use names.
    db.execute(
        "create view v1 as select * from t; create view v2 as select t from t; create view v3 as select x.* from t as x;
         create view v4 as select (t).b, to_json(t) as j from t;
         create function f(int) returns int language sql begin atomic select b from t where a = $1; end",
    )
    .await;
    db.pgrecast(&run).await.expect_code(0);
    let right: bool = db
        .query_value(
            "select (select count(*) from v1 where a = b and b = c) = 9 and (select count(*) from v2 where (t).a = (t).c) = 9
                 and (select count(*) from v3 where a = b) = 9 and (select sum(b) from v4) = 45 and f(7) = 7",
        )
        .await;
    assert!(right);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    // In this order already.
    let same =
        db.pgrecast(&["plan", "t", "--columns", "c,b,a", "--fail-on", "column-order"]).await.expect_code(0);
    assert!(!same.stdout.contains("column-order"), "{}", same.stdout);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_are_printed_can_be_copied() {
    let db = TestDb::create("copied").await;
    db.execute(
        r#"create table "Foo $x" (flag boolean, id bigint primary key, "it's" smallint, n int);
           insert into "Foo $x" select true, g, 1, g from generate_series(1, 100) g"#,
    )
    .await;
    let plan = db.pgrecast(&["plan", r#""Foo $x""#, "--rebuild"]).await.expect_code(0).stdout;
    assert!(plan.contains(r#"    --columns 'id,n,"it'\''s",flag'"#), "{plan}");
    assert!(plan.contains(r#"pgrecast run '"Foo $x"' --rebuild"#), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_says_what_an_order_saves_and_that_is_what_it_saves() {
    let db = TestDb::create("tight").await;
    let tables = [
        "flag bool, id bigint primary key, small smallint, made timestamptz, n int",
        "a text, id bigint primary key, b text, c bigint, d text, e bigint, f numeric, g float8",
        "id int primary key, l text, m smallint, n uuid, o bool, p bigint, q char(5), r date",
        "n int, id int primary key, m int",
    ];
    for columns in some(tables, 0, 2) {
        db.execute(&format!("drop table if exists t; create table t ({columns})")).await;
        let filled: String = db
            .query_value(
                "select string_agg(case format_type(atttypid, null) when 'text' then 'repeat(''x'', g % 9)'
                     when 'boolean' then 'true' when 'uuid' then 'gen_random_uuid()' when 'date' then 'current_date'
                     when 'timestamp with time zone' then 'now()' when 'character' then '''abc''' when 'smallint' then '1' else 'g' end, ', '
                     order by attnum) from pg_attribute where attrelid = 't'::regclass and attnum > 0",
            )
            .await;
        db.execute(&format!("insert into t select {filled} from generate_series(1, 20000) g")).await;
        db.execute("vacuum full t").await;
        db.execute("analyze t").await;
        let size = async || db.query_value::<i64>("select pg_relation_size('t')").await as f64;
        let before = size().await;
        let plan = db.pgrecast(&["plan", "t", "--rebuild", "--json"]).await.expect_code(0).json();
        let layout = &plan["layout"];
        let bytes = |key: &str| layout[key].as_f64().unwrap();
        assert!((bytes("bytes") - bytes("bytes_before")).abs() < 0.01, "{layout}");
        let least: Vec<&str> =
            layout["least"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let least = least.join(",");
        let shown = db.pgrecast(&["plan", "t", "--rebuild"]).await.expect_code(0).stdout;
        let is_loose = bytes("bytes") - bytes("bytes_least") > 2.0;
        assert_eq!(shown.contains(&format!("--columns '{least}'")), is_loose, "{shown}");
        let asked = db.pgrecast(&["plan", "t", "--columns", &least, "--json"]).await.expect_code(0).json();
        assert_eq!(asked["layout"]["bytes"], asked["layout"]["bytes_least"]);
        assert_eq!(asked["strategy"], "copy");
        assert!(asked["risks"].as_array().unwrap().iter().any(|risk| risk["code"] == "column-order"));
        db.pgrecast(&["run", "t", "--columns", &least]).await.expect_code(0);
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
        let saved = (before - size().await) / 20_000.0;
        let said = bytes("bytes") - bytes("bytes_least");
        assert!((saved - said).abs() < 2.5, "{columns}: {saved} bytes of a row saved, {said} were said");
    }
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_to_the_right_columns_all_the_while() {
    use crate::support::Table;
    use crate::support::twin::{Column, Key, Values};
    let db = TestDb::create("moved").await;
    let columns = [
        Column::new("customer", Values::Int),
        Column::nullable("state", Values::Text),
        Column::new("counter", Values::Counter),
    ];
    let definition = "create table {table} (id int primary key, customer int not null, state text, counter int not null default 0)";
    let table = Table::create(&db, "t", definition, Key::Int("id"), &columns).await;
    table.fill(&db, 8000).await;
    let workload = Workload::on(&table).start(&db).await;
    db.pgrecast(&["run", "t", "--columns", "counter,state"]).await.expect_code(0);
    workload.commits(3).await;
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    workload.commits(3).await;
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    db.pgrecast(&["run", "t", "--columns", "state,customer", "--alter", "alter id type bigint"])
        .await
        .expect_code(0);
    workload.commits(3).await;
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    workload.stop().await.assert_clean();
    db.execute(&format!("alter table {} alter id type bigint", table.twin)).await;
    let differs: i64 = db
        .query_value(&format!(
            "select count(*) from (select id, customer, state, counter from t except all
                 select id, customer, state, counter from {}) s",
            table.twin
        ))
        .await;
    let (ours, twins): (i64, i64) = (
        db.query_value("select count(*) from t").await,
        db.query_value(&format!("select count(*) from {}", table.twin)).await,
    );
    assert_eq!((differs, ours), (0, twins));
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}
