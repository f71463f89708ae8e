//! Owners, grants and tablespaces are carried over, by a role that owns the table and only has the documented rights.

use crate::support::dump::without_sequence_values;
use crate::support::*;

/// Runs and rolls back each change, then runs the first one and cleans up, as this role; returns the differences of the
/// dump after the last one.
async fn changed(db: &TestDb<'_>, role: &Role, table: &str, change: &[&str]) -> Vec<String> {
    let run: Vec<&str> = ["run", table].into_iter().chain(change.iter().copied()).collect();
    let before = schema_dump(db).await;
    for last in ["rollback", "verify"] {
        db.pgrecast_as(role, &run).await.expect_code(0);
        db.pgrecast_as(role, &[last, table]).await.expect_code(0);
        db.pgrecast_as(role, &["cleanup", table]).await.expect_code(0);
        let difference =
            diff(&without_sequence_values(&before), &without_sequence_values(&schema_dump(db).await));
        if last == "verify" {
            assert_nothing_left(db).await;
            return difference;
        }
        assert_eq!(difference, Vec::<String>::new());
    }
    unreachable!("the loop returns")
}

/// Revokes all grants, so that the roles can be dropped.
async fn forget(db: &TestDb<'_>, roles: &[&Role]) {
    for role in roles {
        db.execute(&format!("drop owned by {} cascade", role.name)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_without_other_rights_changes_its_table_and_grants_stay_as_they_are() {
    let db = TestDb::create("owner").await;
    db.execute(
        "create schema app;
         create table app.t (id int generated always as identity primary key, n serial, v text);
         insert into app.t (v) select 'v' from generate_series(1, 200)",
    )
    .await;
    let owner = db.owner_role("owner", &["app.t"]).await;
    let reader = db.role("reader", "grant usage on schema app to {role}").await;
    let (owner_name, reader_name) = (&owner.name, &reader.name);
    db.execute(&format!(
        "set role {owner_name};
         grant select, insert on app.t to {reader_name} with grant option; grant delete on app.t to public;
         grant update (v) on app.t to {reader_name} with grant option; grant select (id, n) on app.t to public;
         grant usage on sequence app.t_id_seq to {reader_name} with grant option;
         grant select on sequence app.t_n_seq to public;
         alter default privileges grant all on tables to {reader_name};
         alter default privileges grant truncate on tables to public;
         alter default privileges grant all on sequences to public;
         alter default privileges grant usage on schemas to public;
         alter default privileges in schema app grant references on tables to {reader_name};
         reset role"
    ))
    .await;
    assert_eq!(changed(&db, &owner, "app.t", &["--rebuild"]).await, Vec::<String>::new());
    let lines = changed(&db, &owner, "app.t", &["--alter", "alter id type bigint"]).await;
    assert!(lines.iter().all(|line| line.contains("int")), "{lines:#?}");
    let app = db.connect_as(&reader).await;
    app.batch_execute("insert into app.t (v) values ('mine')").await.expect_err("no right to t_n_seq");
    app.batch_execute("insert into app.t (v, n) values ('mine', 0); update app.t set v = 'x' where id = 3")
        .await
        .expect("granted");
    forget(&db, &[&owner, &reader]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_needs_no_right_to_read_the_other_table() {
    let db = TestDb::create("parents").await;
    db.execute(
        "create domain code as text; create schema parents;
         create table parents.p (a code collate \"C\", b numeric(10, 2), secret text, primary key (a, b), unique (b, a));
         insert into parents.p select 'a', g from generate_series(1, 20) g;
         create table t (id int primary key, a code collate \"C\" default 'a', b numeric(10, 2) default 2, v text);
         insert into t select g, 'a', g from generate_series(1, 20) g",
    )
    .await;
    let owner = db.owner_role("owner", &["t"]).await;
    db.execute(&format!(
        "grant usage on schema parents to {0}; grant references on parents.p to {0}; set role {0};
         alter table t add foreign key (a, b) references parents.p on delete set null /*since 15*/(b)/*end*/ deferrable,
             add constraint other foreign key (b, a) references parents.p (b, a) match full on update set default not valid;
         comment on constraint other on t is 'other'; reset role",
        owner.name
    ))
    .await;
    assert_eq!(changed(&db, &owner, "t", &["--rebuild"]).await, Vec::<String>::new());
    forget(&db, &[&owner]).await;
}

/// What it printed, without the breaks in its lines.
fn in_one_line(output: &Output) -> String {
    output.whole().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A table of one role with dependents of every kind in schemas of their own, and all that README.md lists: each grant as
/// what is granted and to whom.
async fn with_dependents_elsewhere(db: &TestDb<'_>) -> (Role, Vec<(String, String)>) {
    let me = db.role("me", "").await;
    let [owner, child, other] =
        [db.role("owner", "").await, db.role("child", "").await, db.role("other", "").await];
    let [owner, child, other] = [owner.name, child.name, other.name];
    let grants: Vec<(String, String)> = [
        (owner.clone(), &me.name),
        (format!("create on database {}", db.name()), &owner),
        ("usage, create on schema app".into(), &owner),
        (child.clone(), &owner),
        ("usage on schema children".into(), &owner),
        ("references on table parents.p".into(), &owner),
        ("usage on schema parents".into(), &owner),
        ("usage, create on schema matviews".into(), &owner),
        (other.clone(), &me.name),
        ("usage on schema app".into(), &other),
        ("usage, create on schema views".into(), &other),
        ("usage, create on schema functions".into(), &other),
        ("usage on schema policies".into(), &other),
        ("usage on schema rules".into(), &other),
    ]
    .map(|(what, role)| (what, role.clone()))
    .to_vec();
    db.execute(
        "create schema app; create schema children; create schema parents; create schema views; create schema matviews;
         create schema functions; create schema policies; create schema rules;
         create table parents.p (id int primary key); insert into parents.p values (1);
         create table app.t (id int primary key, p int default 1 references parents.p, v text);
         insert into app.t select g, 1, 'v' from generate_series(1, 50) g;
         create table children.c (t int references app.t); insert into children.c values (7);
         create table policies.p (id int); create table rules.r (id int);",
    )
    .await;
    for (what, role) in &grants {
        db.execute(&format!("grant {what} to {role}")).await;
    }
    db.execute(&format!(
        "alter table app.t owner to {owner}; alter table children.c owner to {child};
         alter table policies.p owner to {other}; alter table rules.r owner to {other};
         grant select, insert on app.t to {other};
         set role {owner}; create materialized view matviews.m as select count(*), max(id) from app.t;
         create publication {owner} for table app.t; set role {other};
         create view views.w as select id, v from app.t;
         create function functions.f() returns bigint language sql begin atomic select count(*) from app.t; end;
         create policy see on policies.p using (exists (select from app.t where t.v = 'v'));
         create rule also as on insert to rules.r do also insert into app.t (id) values (new.id);
         reset role"
    ))
    .await;
    (me, grants)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_grants_of_the_readme_dependents_in_any_schema_are_carried_over_and_none_is_missing_unnamed()
{
    const CHANGE: [&str; 2] = ["--alter", "alter id type bigint"];
    let db = TestDb::create("grants").await;
    let (me, grants) = with_dependents_elsewhere(&db).await;
    // Without the first, this role does not see the table.
    for (what, role) in &grants[1..] {
        let taken = if what == "usage, create on schema app" { "create on schema app" } else { what };
        db.execute(&format!("revoke {taken} from {role}")).await;
        let plan = db.pgrecast_as(&me, &["plan", "app.t", CHANGE[0], CHANGE[1]]).await;
        assert_eq!(plan.code, 3, "without {what} to {role}: {}", plan.whole());
        assert!(in_one_line(&plan).contains(what.as_str()), "without {what} to {role}: {}", plan.whole());
        db.execute(&format!("grant {what} to {role}")).await;
    }
    let lines = changed(&db, &me, "app.t", &CHANGE).await;
    assert!(lines.iter().all(|line| line.contains("int")), "{lines:#?}");
    let roles: Vec<String> = db
        .query_column(&format!(
            "select rolname::text from pg_roles where starts_with(rolname, '{}_')",
            db.name()
        ))
        .await;
    for role in roles {
        db.execute(&format!("drop owned by {role} cascade")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_membership_counts_for_what_the_server_lets_it_do() {
    let db = TestDb::create("membership").await;
    db.execute("create table t (id int primary key)").await;
    let owner = db.owner_role("owner", &["t"]).await;
    let me = db.role("me", &format!("grant {} to {{role}}", owner.name)).await;
    let (owner_name, me_name) = (&owner.name, &me.name);
    let has_options: bool =
        db.query_value("select current_setting('server_version_num')::int >= 160000").await;
    let lacks = if has_options {
        [
            (
                format!("grant {owner_name} to {me_name} with set false"),
                format!("grant {owner_name} to {me_name} with set true;"),
            ),
            (
                format!("grant {owner_name} to {me_name} with inherit false"),
                format!("grant {owner_name} to {me_name} with inherit true;"),
            ),
        ]
        .to_vec()
    } else {
        vec![(format!("alter role {me_name} noinherit"), format!("alter role {me_name} inherit;"))]
    };
    for (without, remedy) in lacks {
        db.execute(&without).await;
        let plan = db.pgrecast_as(&me, &["plan", "t", "--rebuild"]).await.expect_code(3);
        assert!(in_one_line(&plan).contains(&remedy), "{}", plan.whole());
        db.execute(&remedy).await;
    }
    db.pgrecast_as(&me, &["run", "t", "--rebuild"]).await.expect_code(0);
    db.pgrecast_as(&me, &["cleanup", "t"]).await.expect_code(0);
    forget(&db, &[&owner]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_in_a_schema_where_the_owner_may_create_nothing_are_refused_with_the_grant() {
    let db = TestDb::create("statistics").await;
    db.execute(
        "create schema stats; create table t (id int primary key, a int, b int);
         insert into t select g, g, g from generate_series(1, 20) g;
         create statistics stats.ab on a, b from t",
    )
    .await;
    let owner = db.owner_role("owner", &["t"]).await;
    db.execute(&format!("alter statistics stats.ab owner to {}", owner.name)).await;
    let output = db.pgrecast_as(&owner, &["run", "t", "--rebuild"]).await.expect_code(3);
    let grant = format!("grant usage, create on schema stats to {};", owner.name);
    assert!(output.stderr.contains(&grant), "{}", output.whole());
    assert_nothing_left(&db).await;
    db.execute(&grant).await;
    assert_eq!(changed(&db, &owner, "t", &["--rebuild"]).await, Vec::<String>::new());
    forget(&db, &[&owner]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_indexes_stay_in_their_tablespaces() {
    let cluster = Cluster::start(&["allow_in_place_tablespaces=on"]);
    let db = TestDb::create_in(&cluster, "tablespaces").await;
    let admin = db.connect().await;
    for name in ["fast", "\"Slow one\""] {
        admin.batch_execute(&format!("create tablespace {name} location ''")).await.expect("a tablespace");
    }
    db.execute(
        "create table t (id int, v text, c int4range, constraint t_key primary key (id) using index tablespace \"Slow one\",
                         exclude using gist (c with &&) using index tablespace \"Slow one\") tablespace fast;
         create index t_v on t (v) tablespace \"Slow one\"; create index t_home on t (v, id);
         insert into t select g, 'v' || g, int4range(g, g + 1) from generate_series(1, 200) g",
    )
    .await;
    let owner = db.owner_role("owner", &["t"]).await;
    let output = db.pgrecast_as(&owner, &["run", "t", "--rebuild"]).await.expect_code(3);
    assert!(output.stderr.contains("permission denied for tablespace"), "{}", output.whole());
    assert!(output.stderr.contains("not-prepared"), "{}", output.whole());
    db.execute(&format!("grant create on tablespace fast, \"Slow one\" to {}", owner.name)).await;
    let places = "select string_agg(relname || ' ' || reltablespace, ', ' order by relname) from pg_class
                  where relnamespace = 'public'::regnamespace";
    let before: String = db.query_value(places).await;
    assert_eq!(changed(&db, &owner, "t", &["--rebuild"]).await, Vec::<String>::new());
    assert_eq!(db.query_value::<String>(places).await, before);
    changed(&db, &owner, "t", &["--alter", "set tablespace \"Slow one\", alter id type bigint"]).await;
    let kind =
        "select atttypid::regtype::text from pg_attribute where attrelid = 't'::regclass and attname = 'id'";
    assert_eq!(db.query_value::<String>(kind).await, "bigint");
    forget(&db, &[&owner]).await;
}
