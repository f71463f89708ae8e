//! Views upon views and the functions that they call: each names the new table afterwards, however it comes to it.

use std::time::Duration;

use crate::support::*;

/// Runs the change there, back and there again: the definition is the same but for what is expected.
async fn check(hint: &str, setup: &str, change: &[&str], differs: &[&str]) {
    let db = TestDb::create(hint).await;
    db.execute(
        "create table m (id int primary key, j int); insert into m select g, g from generate_series(1, 50) g",
    )
    .await;
    db.execute(setup).await;
    let before = schema_dump(&db).await;
    let run = [&["run", "m"], change].concat();
    db.pgrecast(&run).await.expect_code(0);
    let after = diff(&before, &schema_dump(&db).await);
    db.pgrecast(&["rollback", "m"]).await.expect_code(0);
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new(), "after rollback");
    db.pgrecast(&["cleanup", "m"]).await.expect_code(0);
    db.pgrecast(&run).await.expect_code(0);
    db.pgrecast(&["cleanup", "m"]).await.expect_code(0);
    assert_nothing_left(&db).await;
    let unexpected: Vec<_> =
        after.iter().filter(|line| !differs.iter().any(|known| line.contains(known))).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

const REBUILD: &[&str] = &["--rebuild"];
const RETYPE: &[&str] = &["--alter", "alter column j type bigint"];
/// Lines about the column.
const J: &[&str] = &[
    ".j |",
    ".k |",
    "public.base |",
    "on public.base |",
    "public.first",
    "public.whole",
    "TABLE public.m |",
];
const RENAME: &[&str] = &["--alter", "rename column j to k"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_may_name_the_table_and_views_that_stand_on_it() {
    let setup = "
        create view first as select id, j from m;
        create view second as select id from first;
        create view third as select id from second;
        create view whole as select m.id, f.j, s.id as s, t.id as t
            from m join first f using (id) join second s using (id) join third t using (id)";
    check("chained", setup, REBUILD, &[]).await;
    check("chained_retyped", setup, RETYPE, J).await;
    check("chained_renamed", setup, RENAME, J).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_may_have_the_names_of_tables_and_name_each_other_s_rows() {
    let setup = "
        create table d (id int primary key);
        create function m(d) returns setof m language sql as 'select null::m';
        create function d(m) returns setof d language sql as 'select null::d';
        create function m(m, d) returns m[] language sql as 'select array[$1]'";
    check("functions", setup, REBUILD, &[]).await;
    check("functions_retyped", setup, RETYPE, J).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_may_call_functions_of_the_row_type() {
    let setup = "
        create view base as select id, j from m;
        create function label(x m) returns text language sql stable as 'select x.id || ''-'' || x.id';
        create function label(x base) returns text language sql stable as 'select x.id::text';
        comment on function label(m) is 'of a row'; revoke execute on function label(m) from public;
        create view labels as select id, label(m.*) from m;
        create view more as select l.label, label(b.*) as other from labels l join base b using (id);
        create view alone as select label(null::m) as nothing;
        comment on view labels is 'all'; grant select on labels to public";
    check("called", setup, REBUILD, &[]).await;
    check("called_retyped", setup, RETYPE, J).await;
    check("called_renamed", setup, RENAME, J).await;
}

/// Once each path from a view to the table was followed: 300 views made it 45,000 rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_views_upon_views_are_read_in_one_go() {
    let db = TestDb::create("many_views").await;
    db.execute(
        "create table m (id int primary key, j int); create view v0 as select * from m;
         do $$ begin for i in 1..300 loop
             execute format('create view v%s as select v.id, v.j from v%s v join m using (id)', i, i - 1);
         end loop; end $$",
    )
    .await;
    let plan = db.pgrecast(&["plan", "m", "--rebuild", "--json"]).await.expect_code(0);
    let views =
        plan.json()["dependents"].as_array().unwrap().iter().filter(|one| one["kind"] == "view").count();
    assert_eq!(views, 301);
    // A second on an idle machine.
    assert!(plan.elapsed < Duration::from_secs(20), "it took {:?}", plan.elapsed);
    db.pgrecast(&["run", "m", "--rebuild", "--max-lock-time", "20s"]).await.expect_code(0);
    db.pgrecast(&["cleanup", "m"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}
