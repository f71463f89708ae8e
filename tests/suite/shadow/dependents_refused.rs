//! An object that cannot be carried over is refused by name, before anything is changed.

use crate::support::*;

/// A table `t` and a refused change, with the code and a part of the message.
struct Refused {
    setup: &'static str,
    arguments: &'static [&'static str],
    code: &'static str,
    said: &'static str,
}

const fn refused(
    setup: &'static str,
    arguments: &'static [&'static str],
    code: &'static str,
    said: &'static str,
) -> Refused {
    Refused { setup, arguments, code, said }
}

const REBUILD: &[&str] = &["--rebuild"];

const REFUSED: &[Refused] = &[
    refused(
        "create table t (id int primary key, a text[])",
        &["--alter", "alter a type varchar(5)[]"],
        "array-with-length",
        "column a is an array of a type with a length",
    ),
    refused(
        "create table t (id int primary key)",
        &["--alter", "add x float default random()", "--alter", "alter x type text"],
        "added-then-altered",
        "column x is added with a different value for each row",
    ),
    refused(
        "create table t (id int primary key); revoke truncate, trigger on t from current_user",
        REBUILD,
        "privilege", "the table's owner has given away its own right to truncate",
    ),
    refused(
        "create table p (id int primary key); create table t (id int primary key, p int references p);
         alter table t disable trigger all",
        REBUILD,
        "disabled-constraint", "constraint t_p_fkey is disabled",
    ),
    refused(
        "create table t (id int primary key); create table child (id int references t); alter table child disable trigger all",
        REBUILD,
        "disabled-constraint", "constraint child_id_fkey is disabled",
    ),
    refused(
        "create table p (id int primary key); create table t (id int primary key, p int references p)",
        &["--alter", "disable trigger all"],
        "disabled-constraint", "constraint t_p_fkey is disabled",
    ),
    refused(
        "create table t (id int primary key, a int); create table t_a_key (x int)",
        &["--alter", "add unique (a)"],
        "index-name-taken", "relation public.t_a_key already exists",
    ),
    refused(
        "create table t (id int generated always as identity primary key)",
        &["--alter", "alter id restart with 500"],
        "identity-restarted", "the change restarts the identity of column id",
    ),
    refused(
        "create table t (id int generated always as identity primary key); insert into t default values",
        &["--alter", "alter id drop identity, alter id add generated always as identity (start 300)"],
        "identity-replaced", "drops the identity of column id and creates a new one",
    ),
    refused(
        "create table t (id int generated always as identity primary key); select setval('t_id_seq', 600)",
        &["--alter", "alter id set maxvalue 500"],
        "not-accepted", "MAXVALUE",
    ),
    refused(
        "create table t (id int primary key, n serial); create table other (x int default nextval('t_n_seq'))",
        &["--alter", "drop column n"],
        "sequence-in-use", "sequence public.t_n_seq is dropped with column n, and default value for column x of table other uses it",
    ),
    refused(
        "create extension citext; create table t (id int primary key, v citext); create index i on t (v);
         alter index i depends on extension citext",
        REBUILD,
        "extension-dependency", "index i depends on extension citext",
    ),
    refused(
        "do $$ begin execute 'create table t (id int primary key, ' ||
             (select string_agg('c' || g || ' int', ', ') from generate_series(1, 831) g) || ')'; end $$",
        REBUILD,
        "too-many-columns", "public.t has more columns than can be carried over",
    ),
    refused("create table t (id int primary key, a int, check (t is not null))", REBUILD, "not-prepared", "whole-row"),
    refused(
        "create table t (id int primary key, a int); create table child (t int references t)",
        &["--alter", "drop constraint t_pkey, add primary key (id, a)"],
        "not-accepted", "cannot drop constraint t_pkey",
    ),
    refused(
        "create table t (id int primary key deferrable, a int)",
        REBUILD,
        "no-key", "has no key that identifies its rows",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t; create materialized view m as select a from v",
        &["--alter", "alter a type bigint"],
        "not-carried-over", "materialized view public.m cannot be carried over: it reads a view that must be created again",
    ),
    refused(
        "create table t (id int primary key, a int); create materialized view m as select a from t; create statistics s on a, (a + 1) from m",
        REBUILD,
        "not-carried-over", "materialized view public.m cannot be carried over: there are extended statistics on it",
    ),
    refused("create table t (id int primary key); create publication p for all tables", REBUILD, "publication", "it publishes all tables"),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t",
        &["--alter", "drop column a"],
        "column-in-use", "view public.v cannot be carried over: it uses column a, which the change drops",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t where a = 5",
        &["--alter", "alter a type text"],
        "not-carried-over", "public.v cannot be carried over: operator does not exist: text = integer",
    ),
    refused(
        "create table t (id int primary key); create function f(t) returns int language sql as 'select 1';
         create materialized view m as select f(t) from t",
        REBUILD,
        "not-carried-over", "materialized view public.m cannot be carried over: it calls function public.f(public.t)",
    ),
    refused(
        "create table t (id int primary key, own bool); alter table t drop own,
             add own bool generated always as (tableoid = 't'::regclass) stored",
        REBUILD,
        "names-itself", "generated column own of public.t reads tableoid or names the table by a constant",
    ),
    refused(
        "create table t (id int primary key, o oid generated always as (tableoid) stored)",
        REBUILD,
        "names-itself", "generated column o of public.t",
    ),
    refused(
        "create table t (id int primary key, o oid, constraint other check (o <> 't'::regclass))",
        REBUILD,
        "names-itself", "check constraint other of public.t",
    ),
    refused(
        "create table t (id int primary key, o oid); create index own on t (id) where o = 't'::regclass::oid",
        REBUILD,
        "names-itself", "own reads tableoid",
    ),
    refused(
        "create table t (id int primary key); create table u (id int, about regclass default 't'::regclass)",
        REBUILD,
        "constant", "default value for column about of table u",
    ),
    refused(
        "create table t (id int primary key); create table u (id int, o oid); create index i on u (id) where o = 't'::regclass::oid",
        REBUILD,
        "constant", "it names the table by a constant",
    ),
    refused(
        "create table t (id int primary key); create table pg_dist_partition (logicalrelid regclass, partmethod char);
         insert into pg_dist_partition values ('t', 'h')",
        REBUILD,
        "distributed", "Citus has distributed it",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t;
         create function f() returns int begin atomic select max(a)::int from v; end; create table u (x int default f())",
        &["--alter", "alter a type bigint"],
        "not-carried-over", "function public.f() cannot be carried over: it must be dropped and created again, and is used by default value",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t; alter view v alter a set default 3",
        &["--alter", "alter a type boolean using a > 0", "--reverse", "a=case when a then 1 else 0 end"],
        "not-carried-over", "public.v cannot be carried over: column \"a\" is of type boolean but default expression is of type integer",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t; create rule r as on update to v
             where new.a > 3 do instead nothing",
        &["--alter", "alter a type text", "--reverse", "a=a::int"],
        "not-carried-over", "operator does not exist: text > integer",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t; create table u (x v)",
        &["--alter", "alter a type bigint"],
        "not-carried-over", "it depends on a view that must be created again",
    ),
    refused(
        "create table t (id int primary key, a int); create aggregate lot(t) (sfunc = array_append, stype = t[])",
        REBUILD,
        "not-carried-over", "it is an aggregate",
    ),
    refused(
        "create table t (id int primary key, a int); create function f() returns bigint begin atomic select sum(a) from t; end",
        &["--alter", "rename a to b"],
        "column-in-use", "it uses column a, which the change renames",
    ),
    refused("create table t (id int primary key); create table u (x t)", REBUILD, "relation", "it uses the table's row type"),
    refused(
        "create table t (id int primary key); create domain d as t check ((value).id > 0)",
        REBUILD,
        "type", "it uses the table's row type",
    ),
    refused(
        "create table t (id int primary key); create function f(t) returns text language sql as 'select 1::text';
         create cast (t as text) with function f",
        REBUILD,
        "object", "it depends on the table in a way that pgrecast does not know",
    ),
    refused(
        "create table t (id int primary key); create table u (id int);
         create function f() returns trigger language plpgsql as 'begin return null; end';
         create constraint trigger c after insert on u from t for each row execute function f()",
        REBUILD,
        "object", "trigger c on table",
    ),
    refused(
        "create table t (id int primary key); insert into t values (1)",
        &["--alter", "add column x int not null"],
        "not-null-without-default", "column x is NOT NULL and has no default for the existing rows",
    ),
    refused(
        "create table t (id int primary key, a text)",
        &["--alter", "alter a type timestamptz using now()"],
        "volatile-expression", "can return a different result each time",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_carried_over_is_refused_by_name() {
    let db = TestDb::create("refused").await;
    for case in REFUSED {
        db.execute("drop schema public cascade; create schema public; drop publication if exists p").await;
        db.execute(case.setup).await;
        let before = schema_dump(&db).await;
        let arguments = [case.arguments, &["--json"]].concat();
        let plan = db.pgrecast(&[&["plan", "t"], &arguments[..]].concat()).await.expect_code(3);
        let refusals = plan.json()["refusals"].clone();
        let has_code = refusals.as_array().unwrap().iter().any(|refusal| refusal["code"] == case.code);
        assert!(has_code, "{} is expected: {}", case.code, plan.whole());
        let output = db.pgrecast(&[&["run", "t"], &arguments[..]].concat()).await.expect_code(3);
        assert_eq!(output.json()["error"]["code"], refusals[0]["code"], "{}", output.whole());
        assert!(output.stderr.contains(case.said), "{}\nexpected: {}", output.whole(), case.said);
        assert!(output.stderr.contains("nothing was changed"), "{}", output.whole());
        assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new(), "{}", case.setup);
        assert_nothing_left(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_foreign_key_asks_its_parent_for_no_lock_before_the_swap() {
    let db = TestDb::create("parent_locks").await;
    db.execute(
        "create schema app; create table app.\"P q\" (id int, code text unique, primary key (id));
         insert into app.\"P q\" values (1, 'one');
         create table t (id int primary key, p int, c text); insert into t values (1, 1, 'one')",
    )
    .await;
    let writer = db.connect().await;
    writer.batch_execute("begin; update app.\"P q\" set id = id").await.unwrap();
    let add = "add foreign key (p) references app.\"P q\" on delete cascade, add up int references t, \
               add foreign key (c) references app.\"P q\" (code)";
    let plan = db.pgrecast(&["plan", "t", "--alter", add]).await.expect_code(0);
    assert!(plan.stdout.contains("t_p_fkey (public.t to app.\"P q\")"), "{}", plan.whole());
    let run = db.spawn(&["run", "t", "--alter", add]);
    wait_until("the swap waits for the writer", async || {
        db.pgrecast(&["list", "--json"]).await.json()[0]["phase"] == "verified"
    })
    .await;
    writer.batch_execute("commit").await.unwrap();
    run.wait().await.expect_code(0);
    let keys: i64 = db
        .query_value("select count(*) from pg_constraint where conrelid = 't'::regclass and contype = 'f' and convalidated")
        .await;
    assert_eq!(keys, 3);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);

    let missing = db
        .pgrecast(&[
            "plan",
            "t",
            "--alter",
            "add foreign key (c) references app.\"P q\" (id, code)",
            "--json",
        ])
        .await
        .expect_code(3);
    assert!(
        missing.stdout.contains("\\\"P q\\\"") || missing.stdout.contains("disagree"),
        "{}",
        missing.whole()
    );
    let no_key = db.pgrecast(&[
        "plan",
        "t",
        "--alter",
        "add b text, add foreign key (p, b) references app.\"P q\" (id, code)",
    ]);
    let no_key = no_key.await.expect_code(3);
    assert!(
        no_key.stdout.contains("P q") && !no_key.stdout.contains("pgrecast_parent"),
        "{}",
        no_key.whole()
    );
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hypertable_is_refused() {
    let db = TestDb::create("hypertable").await;
    db.execute(
        "create table t (id int primary key); create table other (id int primary key); create schema _timescaledb_catalog;
         create table _timescaledb_catalog.hypertable (schema_name name, table_name name);
         insert into _timescaledb_catalog.hypertable values ('public', 't')",
    )
    .await;
    let plan = db.pgrecast(&["plan", "t", "--rebuild", "--json"]).await.expect_code(3);
    assert_eq!(plan.json()["refusals"][0]["code"], "hypertable", "{}", plan.whole());
    db.pgrecast(&["plan", "other", "--rebuild"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
