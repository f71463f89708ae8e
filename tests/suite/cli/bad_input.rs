//! Impossible requests: a clear error, the right exit code, and nothing left behind.

use crate::support::*;

/// Runs a command and expects the exit code, the text on stderr, and one JSON object on stdout.
async fn refused(db: &TestDb<'_>, arguments: &[&str], code: i32, words: &[&str]) {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let output = db.pgrecast(&arguments).await.expect_code(code);
    for word in words {
        assert!(output.stderr.contains(word), "{word:?} is not said:\n{}", output.whole());
    }
    if arguments[0] != "plan" && code != 2 {
        assert!(output.json()["error"]["message"].is_string(), "{}", output.whole());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_on_a_table_and_is_not_carried_is_refused_by_name() {
    let db = TestDb::create("refusals").await;
    for (setup, undo, code, word) in [
        ("create publication all_pub for all tables", "drop publication all_pub", "publication", "all_pub"),
        ("create table a_child () inherits (t)", "drop table a_child", "inheritance", "a_child"),
        ("create table user_of_type (x t)", "drop table user_of_type", "relation", "user_of_type"),
        ("create schema pgrecast", "drop schema pgrecast", "schema-taken", "did not create the schema"),
        (
            "create index i on t (a); update pg_index set indisvalid = false where indexrelid = 'i'::regclass",
            "drop index i",
            "invalid-index",
            "its build failed",
        ),
    ] {
        db.execute("create table t (id int primary key, a int)").await;
        db.execute(setup).await;
        let before = schema_dump(&db).await;
        refused(&db, &["run", "t", "--alter", "alter a type bigint"], 3, &[word]).await;
        let plan =
            db.pgrecast(&["plan", "t", "--alter", "alter a type bigint", "--json"]).await.expect_code(3);
        assert_eq!(plan.json()["refusals"][0]["code"], code, "{}", plan.whole());
        assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
        db.execute(&format!("{undo}; drop table t")).await;
    }
    assert_nothing_left(&db).await;
}

/// Relations of every kind.
async fn relations(hint: &str) -> TestDb<'static> {
    let db = TestDb::create(hint).await;
    db.execute(
        "create table t (id int primary key, a int); create view v as select 1 as id;
         create materialized view mv as select 1 as id; create table keyless (a int);
         create table nullable (a int unique); create table parted (id int primary key) partition by range (id);
         create table part partition of parted for values from (0) to (10); create sequence s;
         create type shape as (id int); create table typed of shape (primary key (id));
         create foreign data wrapper w; create server away foreign data wrapper w;
         create foreign table abroad (id int) server away",
    )
    .await;
    db
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_ordinary_table_with_a_key_is_refused() {
    let db = relations("tables").await;
    let before = schema_dump(&db).await;
    for (table, code, word) in [
        ("v", "view", "is a view"),
        ("mv", "view", "materialized view"),
        ("keyless", "no-key", "no primary key"),
        ("nullable", "no-key", "Index nullable_a_key would be sufficient, but a may be NULL"),
        ("parted", "partitioned-table", "partitioned"),
        ("part", "partition", "partition"),
        ("typed", "typed-table", "OF a type"),
        ("abroad", "foreign-table", "on another server"),
        ("s", "not-a-table", "sequence"),
        ("pg_catalog.pg_class", "system-table", "system table"),
    ] {
        refused(&db, &["run", table, "--rebuild"], 3, &[word, "nothing was changed"]).await;
        let plan = db.pgrecast(&["plan", table, "--rebuild", "--json"]).await.expect_code(3);
        assert_eq!(plan.json()["refusals"][0]["code"], code, "{}", plan.whole());
    }
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_are_not_done_are_refused_by_code() {
    let db = relations("changes").await;
    let before = schema_dump(&db).await;
    for (alter, code, word) in [
        ("alter nothing type bigint", "not-accepted", "column \"nothing\""),
        ("alter a type no_such_type", "not-accepted", "no_such_type"),
        ("alter a type bigint using random()", "volatile-expression", "random"),
        ("alter a type timestamptz using now()", "volatile-expression", "now"),
        ("alter a type text", "no-way-back", "cannot be converted back"),
        ("drop constraint t_pkey", "key-changed", "no primary key"),
        ("alter id type text using 'x'", "key-changed", "no key"),
        ("rename to u", "in-place-only", "rename to u"),
        ("set schema other", "not-accepted", "set schema"),
        ("owner to postgres", "by-hand", "owner to"),
        ("drop column a cascade", "cascade", "cascade"),
        ("force row level security", "in-place-only", "force row level security"),
        ("options (set host 'x')", "foreign-options", "foreign tables"),
        ("set with oids", "outdated", "oids"),
    ] {
        let said = db.pgrecast(&["run", "t", "--alter", alter, "--json"]).await.expect_code(3);
        let lower = said.stderr.to_lowercase();
        assert!(lower.contains(&word.to_lowercase()), "{alter}: {word:?} is not said:\n{}", said.whole());
        assert_eq!(said.json()["error"]["code"], code, "{alter}: {}", said.whole());
    }
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_meant_is_wrong_usage() {
    let db = relations("usage").await;
    let before = schema_dump(&db).await;
    for (alter, word) in [
        ("alter a typ bigint", "typ bigint"),
        ("alter a type bigint; drop table t", ""),
        ("alter table t alter a type bigint", ""),
    ] {
        let said = db.pgrecast(&["run", "t", "--alter", alter, "--json"]).await.expect_code(2);
        assert!(said.stderr.contains(word), "{alter}: {word:?} is not said:\n{}", said.whole());
        assert!(said.json()["error"]["code"].is_null(), "{alter}: {}", said.whole());
    }
    for (arguments, word) in [
        (&["run", "no_such_table", "--rebuild"][..], "does not exist"),
        (&["run", "t"][..], "no migration t"),
        (&["run"][..], "no migration is open"),
        (&["rollback", "deadbeef"][..], "deadbeef"),
        (&["verify"][..], "no migration is open"),
        (&["run", "t", "--alter", "alter a type bigint", "--reverse", "zz=1"][..], "zz"),
        (&["run", "t", "--alter", "alter a type bigint", "--reverse", "nonsense"][..], "column=expression"),
        (&["run", "t", "--rebuild", "--chunk-time", "5"][..], "unit"),
        (&["frobnicate"][..], "frobnicate"),
    ] {
        refused(&db, arguments, 2, &[word]).await;
    }
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_does_not_convert_is_named_by_its_key_and_can_be_corrected() {
    let db = TestDb::create("convert").await;
    db.execute(
        "create table t (id int primary key, a text, b int);
         insert into t select g, g::text, g from generate_series(1, 20000) g;
         update t set a = 'seventeen' where id = 17017; update t set b = null where id = 12345",
    )
    .await;
    let before = schema_dump(&db).await;
    let change = ["run", "t", "--alter", "alter a type int using a::int"];
    refused(&db, &change, 5, &["id = 17017", "invalid input syntax", "22P02", "pgrecast abort"]).await;
    let status = db.pgrecast(&["status", "t", "--json"]).await.expect_code(0).json();
    assert_eq!(status["phase"], "capturing");
    assert!(status["error"]["message"].as_str().unwrap().contains("17017"), "{status}");
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    assert_nothing_left(&db).await;

    refused(&db, &change, 5, &["id = 17017"]).await;
    refused(&db, &["run", "t", "--alter", "alter a type bigint using a::bigint"], 2, &["another change"])
        .await;
    db.execute("update t set a = '17' where id = 17017").await;
    let status = db.pgrecast(&["run", "t", "--json"]).await.expect_code(0).json();
    assert_eq!(status["phase"], "swapped");
    assert!(status["error"].is_null(), "{status}");
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    refused(&db, &["run", "t", "--alter", "alter b set not null"], 5, &["id = 12345", "not-null constraint"])
        .await;
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_stop_a_unique_index_and_the_original_is_untouched() {
    let db = TestDb::create("duplicates").await;
    db.execute(
        "create table t (id int primary key, a int);
         insert into t select g, g from generate_series(1, 5000) g; update t set a = 7 where id = 4000",
    )
    .await;
    let before = schema_dump(&db).await;
    let change = ["run", "t", "--alter", "add constraint one_of_each unique (a)"];
    refused(&db, &change, 5, &["one_of_each", "(a)=(7)", "23505"]).await;
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    refused(&db, &change, 5, &["one_of_each"]).await;
    db.execute("update t set a = 999999 where id = 4000").await;
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    let rows: i64 = db.query_value("select count(*) from t").await;
    assert_eq!(rows, 5000);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rights_are_named_with_the_grant_that_gives_them() {
    let db = TestDb::create("missing").await;
    db.execute("create table t (id int primary key, a int); insert into t select g, g from generate_series(1, 100) g").await;
    let owner = db.role("owner", "alter table t owner to {role}").await.name;
    let dba = db.role("dba", "").await;
    let arguments = ["run", "t", "--alter", "alter a type bigint"];
    for expected in [
        format!("grant {owner} to {}", dba.name),
        format!("grant create on database {} to {owner}", db.name()),
        format!("grant usage, create on schema public to {owner}"),
    ] {
        let output = db.pgrecast_as(&dba, &arguments).await.expect_code(3);
        assert!(output.stderr.contains(&expected), "{expected}:\n{}", output.whole());
        db.execute(&expected).await;
    }
    db.pgrecast_as(&dba, &arguments).await.expect_code(0);
    db.pgrecast_as(&dba, &["rollback", "t"]).await.expect_code(0);
    db.pgrecast_as(&dba, &["cleanup", "t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_not_ours_is_left_alone() {
    let db = TestDb::create("taken").await;
    db.execute(
        "create schema pgrecast; create table pgrecast.mine (a int); create table t (id int primary key)",
    )
    .await;
    refused(&db, &["run", "t", "--rebuild"], 3, &["schema \"pgrecast\""]).await;
    let left: i64 = db.query_value("select count(*) from pgrecast.mine").await;
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_a_plain_failure() {
    let db = TestDb::create("nobody").await;
    let output = db.pgrecast(&["list", "-h", "127.0.0.1", "-p", "1"]).await.expect_code(1);
    assert!(output.stderr.contains("127.0.0.1") && output.stderr.contains("port 1"), "{}", output.whole());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_means_the_table_that_it_means_in_sql_and_a_newer_migration_keeps_its_capture() {
    let db = TestDb::create("names").await;
    db.execute("create schema a; create table a.t (id int primary key); create table t (id int primary key)")
        .await;
    let arguments = ["--alter", "alter id type bigint", "--json"];
    let run = async |table: &str| {
        let all: Vec<&str> = ["run", table].into_iter().chain(arguments).collect();
        db.pgrecast(&all).await.expect_code(0).json()
    };
    assert_eq!(run("a.t").await["tables"][0], "a.t");
    assert_eq!(run("t").await["tables"][0], "public.t");
    let back = db.pgrecast(&["rollback", "t", "--json"]).await.expect_code(0).json();
    assert_eq!(back["tables"][0], "public.t");
    // The first migration of the table is cleaned up only after the second one was swapped.
    let again = run("t").await;
    assert_ne!(again["id"], back["id"]);
    db.pgrecast(&["cleanup", back["id"].as_str().unwrap()]).await.expect_code(0);
    db.execute("insert into t values (1)").await;
    db.pgrecast(&["rollback", again["id"].as_str().unwrap()]).await.expect_code(0);
    assert_eq!(db.query_value::<i64>("select count(*) from t").await, 1);
    db.pgrecast(&["cleanup", again["id"].as_str().unwrap()]).await.expect_code(0);
    db.pgrecast(&["cleanup", "a.t"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_command_says_nothing_about_the_migration_and_a_closed_pipe_stops_nothing() {
    let db = TestDb::create("mistyped").await;
    db.execute("create table t (id int primary key, a int); insert into t values (1, 1)").await;
    db.pgrecast(&["run", "t", "--rebuild"]).await.expect_code(0);
    let mistyped = db.pgrecast(&["abort", "t"]).await.expect_code(2);
    assert!(mistyped.stderr.contains("is swapped"), "{}", mistyped.whole());
    let status = db.pgrecast(&["status", "t", "--json"]).await.expect_code(0).json();
    assert!(status["error"].is_null(), "{status}");
    assert_eq!(status["phase"], "swapped");

    // Migrations that still keep a table are shown, even if none is open any more.
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    let status = db.pgrecast(&["status"]).await.expect_code(0);
    assert!(
        status.stdout.contains("kept pgrecast_") && status.stdout.contains("pgrecast cleanup"),
        "{}",
        status.whole()
    );
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    let status = db.pgrecast(&["status"]).await.expect_code(0);
    assert_eq!(status.stdout, "no migration is open\n");

    for format in ["text", "json"] {
        let mut command = std::process::Command::new("sh");
        command.args([
            "-c",
            "{ \"$0\" run t --rebuild --log-format $1; echo $? >&3; } 2>&1 3>code | true; cat code",
            env!("CARGO_BIN_EXE_pgrecast"),
            format,
        ]);
        let folder = tempfile::tempdir().unwrap();
        let output = command.envs(db.psql_env()).current_dir(folder.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{format}");
        let plan = db.pgrecast(&["plan", "t", "--rebuild"]).await.expect_code(0);
        assert!(plan.stdout.contains("of this table is open (swapped)"), "{}", plan.whole());
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    }
    let nothing = db.pgrecast(&["plan", "nosuch", "--rebuild", "--json"]).await.expect_code(2).json();
    assert!(nothing["error"]["message"].as_str().unwrap().contains("nosuch does not exist"), "{nothing}");
    for usage in [
        &["plan", "t", "--rebuild", "--fail-on", "nulls"][..],
        &["plan", "t"],
        &["run", "t", "--alter", "add"],
        &["run", "--no-such-option"],
        &["cleanup"],
        &["status", "nosuch"],
        &["list", "--port", "x"],
    ] {
        let said = db.pgrecast(&[usage, &["--json"]].concat()).await.expect_code(2).json();
        assert!(said["error"]["message"].is_string(), "{usage:?}: {said}");
    }
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_fits_eighty_columns() {
    let db = TestDb::create("columns").await;
    db.execute(
        "create table customers (id int primary key);
         create table orders (
             id serial primary key, customer_id int not null references customers on delete cascade,
             a_column_with_quite_a_long_name varchar(20) check (a_column_with_quite_a_long_name <> ''), total numeric);
         create index orders_of_a_customer_by_a_column_with_quite_a_long_name on orders (customer_id, a_column_with_quite_a_long_name);
         create table items (order_id int references orders);
         insert into customers values (1); insert into orders (customer_id, total) select 1, g from generate_series(1, 5000) g",
    )
    .await;
    let alter = "alter column id type bigint, alter column total type numeric(12, 2), \
                 add column note text not null default 'a note that says a lot about this very order and some others'";
    let plan = db.pgrecast(&["plan", "orders", "--alter", alter]).await.expect_code(0);
    let long: Vec<&str> = plan.stdout.lines().filter(|line| line.chars().count() > 80).collect();
    // The command to copy is one line.
    assert!(long.len() == 1 && long[0].trim_start().starts_with("pgrecast run"), "{}", plan.whole());
    let first = plan.stdout.lines().next().unwrap();
    assert!(first.contains("rows") && !first.contains(" 0 rows"), "never analyzed, and not empty: {first}");
}
