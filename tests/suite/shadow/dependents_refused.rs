//! What can not be carried over is refused by name, before anything has been changed.

use crate::support::*;

/// A table `t` and a change that is refused, with a part of what is said.
struct Refused {
    setup: &'static str,
    arguments: &'static [&'static str],
    said: &'static str,
}

const fn refused(setup: &'static str, arguments: &'static [&'static str], said: &'static str) -> Refused {
    Refused { setup, arguments, said }
}

const REBUILD: &[&str] = &["--rebuild"];

const REFUSED: &[Refused] = &[
    refused(
        "create table t (id int primary key); revoke truncate, trigger on t from current_user",
        REBUILD,
        "the table's owner has given away its own right to truncate",
    ),
    refused(
        "create table p (id int primary key); create table t (id int primary key, p int references p);
         alter table t disable trigger all",
        REBUILD,
        "constraint t_p_fkey is switched off",
    ),
    refused(
        "create table t (id int primary key); create table child (id int references t); alter table child disable trigger all",
        REBUILD,
        "constraint child_id_fkey is switched off",
    ),
    refused(
        "create table p (id int primary key); create table t (id int primary key, p int references p)",
        &["--alter", "disable trigger all"],
        "constraint t_p_fkey is switched off",
    ),
    refused(
        "create table t (id int primary key, a int); create table t_a_key (x int)",
        &["--alter", "add unique (a)"],
        "public.t_a_key is there already",
    ),
    refused(
        "create table t (id int generated always as identity primary key)",
        &["--alter", "alter id restart with 500"],
        "the change restarts the identity of column id",
    ),
    refused(
        "create table t (id int generated always as identity primary key); insert into t default values",
        &["--alter", "alter id drop identity, alter id add generated always as identity (start 300)"],
        "drops the identity of column id and makes a new one",
    ),
    refused(
        "create table t (id int generated always as identity primary key); select setval('t_id_seq', 600)",
        &["--alter", "alter id set maxvalue 500"],
        "MAXVALUE",
    ),
    refused(
        "create table t (id int primary key, n serial); create table other (x int default nextval('t_n_seq'))",
        &["--alter", "drop column n"],
        "sequence public.t_n_seq goes with column n, and is used elsewhere: default value for column x of table other",
    ),
    refused(
        "create extension citext; create table t (id int primary key, v citext); create index i on t (v);
         alter index i depends on extension citext",
        REBUILD,
        "index i depends on extension citext",
    ),
    refused(
        "do $$ begin execute 'create table t (id int primary key, ' ||
             (select string_agg('c' || g || ' int', ', ') from generate_series(1, 831) g) || ')'; end $$",
        REBUILD,
        "public.t has more columns than can be carried over",
    ),
    refused("create table t (id int primary key, a int, check (t is not null))", REBUILD, "whole-row"),
    refused(
        "create table t (id int primary key, a int); create table child (t int references t)",
        &["--alter", "drop constraint t_pkey, add primary key (id, a)"],
        "cannot drop constraint t_pkey",
    ),
    refused(
        "create table t (id int primary key deferrable, a int)",
        REBUILD,
        "has no key by which its rows could be found",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t; create materialized view m as select a from v",
        &["--alter", "alter a type bigint"],
        "materialized view public.m can not be carried over: it reads a view that has to be made anew",
    ),
    refused(
        "create table t (id int primary key, a int); create materialized view m as select a from t; create statistics s on a, (a + 1) from m",
        REBUILD,
        "materialized view public.m can not be carried over: there are extended statistics on it",
    ),
    refused("create table t (id int primary key); create publication p for all tables", REBUILD, "it publishes all tables"),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t",
        &["--alter", "drop column a"],
        "view public.v can not be carried over: it uses column a, which the change drops",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t where a = 5",
        &["--alter", "alter a type text"],
        "public.v can not be carried over: operator does not exist: text = integer",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t;
         create function f(v) returns int language sql as 'select 1'; create view w as select f(v) from v",
        &["--alter", "alter a type bigint"],
        "public.w can not be carried over: function public.f(public.v) does not exist",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t;
         create function f() returns int begin atomic select max(a)::int from v; end; create table u (x int default f())",
        &["--alter", "alter a type bigint"],
        "function public.f() can not be carried over: it has to be made anew, and is used by default value",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t; alter view v alter a set default 3",
        &["--alter", "alter a type boolean using a > 0", "--reverse", "a=case when a then 1 else 0 end"],
        "public.v can not be carried over: column \"a\" is of type boolean but default expression is of type integer",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t; create rule r as on update to v
             where new.a > 3 do instead nothing",
        &["--alter", "alter a type text", "--reverse", "a=a::int"],
        "operator does not exist: text > integer",
    ),
    refused(
        "create table t (id int primary key, a int); create view v as select a from t; create table u (x v)",
        &["--alter", "alter a type bigint"],
        "it depends on a view that has to be made anew",
    ),
    refused(
        "create table t (id int primary key, a int); create aggregate lot(t) (sfunc = array_append, stype = t[])",
        REBUILD,
        "it is an aggregate",
    ),
    refused(
        "create table t (id int primary key, a int); create function f() returns bigint begin atomic select sum(a) from t; end",
        &["--alter", "rename a to b"],
        "it uses column a, which the change renames",
    ),
    refused("create table t (id int primary key); create table u (x t)", REBUILD, "it uses the table's row type"),
    refused(
        "create table t (id int primary key); create domain d as t check ((value).id > 0)",
        REBUILD,
        "it uses the table's row type",
    ),
    refused(
        "create table t (id int primary key); create function f(t) returns text language sql as 'select 1::text';
         create cast (t as text) with function f",
        REBUILD,
        "it depends on the table in a way that is not known here",
    ),
    refused(
        "create table t (id int primary key); create table u (id int);
         create function f() returns trigger language plpgsql as 'begin return null; end';
         create constraint trigger c after insert on u from t for each row execute function f()",
        REBUILD,
        "trigger c on table",
    ),
    refused(
        "create table t (id int primary key); insert into t values (1)",
        &["--alter", "add column x int not null"],
        "column x is NOT NULL and has no default for the rows that are there",
    ),
    refused(
        "create table t (id int primary key, a text)",
        &["--alter", "alter a type timestamptz using now()"],
        "can change from one moment to the next",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_carried_over_is_refused_by_name() {
    let db = TestDb::create("refused").await;
    for case in REFUSED {
        db.execute("drop schema public cascade; create schema public; drop publication if exists p").await;
        db.execute(case.setup).await;
        let before = schema_dump(&db).await;
        let arguments: Vec<&str> = ["run", "t"].iter().chain(case.arguments).copied().collect();
        let output = db.pgrecast(&arguments).await.expect_code(3);
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
