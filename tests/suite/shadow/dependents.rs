//! Everything attached to a table exists unchanged afterwards: the schema dump, with the parts that `pg_dump` does not
//! show, differs only by the requested change, and after a rollback not at all.

use crate::support::dump::without_sequence_values;
use crate::support::*;

/// Changes the table, and cleans up; returns the differences of the dump.
async fn changed(db: &TestDb<'_>, table: &str, change: &[&str]) -> Vec<String> {
    let before = schema_dump(db).await;
    run(db, table, change).await;
    db.pgrecast(&["verify", table]).await.expect_code(0);
    db.pgrecast(&["cleanup", table]).await.expect_code(0);
    assert_nothing_left(db).await;
    diff(&before, &schema_dump(db).await)
}

/// Changes the table, rolls back, and cleans up; returns the differences of the dump.
async fn changed_and_back(db: &TestDb<'_>, table: &str, change: &[&str]) -> Vec<String> {
    let before = schema_dump(db).await;
    run(db, table, change).await;
    db.pgrecast(&["rollback", table]).await.expect_code(0);
    db.pgrecast(&["cleanup", table]).await.expect_code(0);
    assert_nothing_left(db).await;
    diff(&before, &schema_dump(db).await)
}

async fn run(db: &TestDb<'_>, table: &str, change: &[&str]) {
    let arguments: Vec<&str> = ["run", table].into_iter().chain(change.iter().copied()).collect();
    db.pgrecast(&arguments).await.expect_code(0);
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_of_every_kind_keep_their_definition() {
    let db = TestDb::create("indexes").await;
    db.execute(
        r#"create extension btree_gist;
        create table t (id int not null, a text, b int, c int4range, d text[], "Big Name" text, e text);
        insert into t select g, 'a' || g, g % 10, int4range(g, g + 1), array['x', 'y' || g], 'n' || g, 'e'
            from generate_series(1, 300) g;
        alter table t add constraint t_key primary key (id) include (b) with (fillfactor = 80);
        comment on constraint t_key on t is 'the key''s';
        create unique index t_a on t (a text_pattern_ops) where b > 3;
        create index t_expr on t (lower(a), (b + 1) desc nulls last) include (e) with (fillfactor = 70);
        alter index t_expr alter column 1 set statistics 500;
        comment on index t_expr is 'an expression';
        create index t_gin on t using gin (d) with (fastupdate = off);
        create index t_brin on t using brin (id);
        create index t_hash on t using hash (e);
        create index t_coll on t (a collate "C" desc);
        create unique index "Größter ""Index""" on t ("Big Name") /*since 15*/nulls not distinct/*end*/;
        alter table t add constraint t_a_later unique (a, b) deferrable initially deferred;
        alter table t add constraint t_excl exclude using gist (c with &&, b with =) where (b > 0);
        create index t_a_name_that_is_sixty_three_bytes_long_as_long_as_a_name_is on t (b);
        alter table t cluster on t_coll;
        alter table t replica identity using index t_key"#,
    )
    .await;
    assert_eq!(changed_and_back(&db, "t", &["--alter", "alter column b type bigint"]).await, nothing());
    assert_eq!(changed(&db, "t", &["--rebuild"]).await, nothing());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_keep_all_that_is_set_on_them() {
    let db = TestDb::create("columns").await;
    let reader = db.role("reader", "").await.name;
    db.execute(&format!(
        r#"create schema "My Schema"; create schema stats;
        create domain positive as int check (value > 0);
        create type mood as enum ('sad', 'ok'); create type pair as (a int, b text);
        create table "My Schema"."My Table" (
            gone int, id int primary key, "select" positive default 7, m mood default 'ok', p pair,
            v varchar(20) collate "C" not null default 'x' || 'y', long text, n numeric(10, 3),
            total numeric generated always as (n * 2) stored, arr int[] default '{{1,2}}', x int
        ) with (fillfactor = 90, autovacuum_enabled = false, toast.autovacuum_enabled = false);
        alter table "My Schema"."My Table" drop column gone;
        alter table "My Schema"."My Table" alter long set storage external, alter v set compression pglz,
            alter id set statistics 321, alter n set (n_distinct = -0.5);
        comment on table "My Schema"."My Table" is 'it''s a table';
        comment on column "My Schema"."My Table"."select" is 'a column';
        alter table "My Schema"."My Table" add constraint "a check" check (n > 0) no inherit;
        comment on constraint "a check" on "My Schema"."My Table" is 'checked';
        insert into "My Schema"."My Table" (id, n, x, long) select g, g, -g, repeat('y', g) from generate_series(1, 500) g;
        alter table "My Schema"."My Table" add constraint not_for_old_rows check (x > 0) not valid;
        comment on constraint not_for_old_rows on "My Schema"."My Table" is 'later';
        create statistics stats.both (ndistinct, dependencies) on id, n from "My Schema"."My Table";
        alter statistics stats.both set statistics 77; comment on statistics stats.both is 'two';
        create statistics "My Schema".expr on (n + x), v from "My Schema"."My Table";
        alter default privileges in schema "My Schema" grant select on tables to public;
        grant select, insert on "My Schema"."My Table" to {reader} with grant option;
        grant update (n, "select") on "My Schema"."My Table" to {reader};
        grant select (id) on "My Schema"."My Table" to public;
        alter table "My Schema"."My Table" replica identity full"#
    ))
    .await;
    let table = "\"My Schema\".\"My Table\"";
    assert_eq!(
        changed_and_back(&db, table, &["--alter", "alter x type bigint, alter m set default 'sad', alter m drop default, alter m set default 'ok'"]).await,
        nothing()
    );
    assert_eq!(changed(&db, table, &["--rebuild"]).await, nothing());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_go_on_where_they_are() {
    let db = TestDb::create("sequences").await;
    let reader = db.role("reader", "").await.name;
    db.execute(&format!(
        "create table t (id serial primary key, no int generated always as identity (start 100 increment 5 cache 3),
                         nr int generated by default as identity, v text);
         alter sequence t_no_seq rename to renamed_seq;
         grant usage on sequence renamed_seq to {reader}; comment on sequence renamed_seq is 'numbers';
         grant select on sequence t_id_seq to {reader};
         insert into t (v) select 'v' from generate_series(1, 300)"
    ))
    .await;
    assert_eq!(changed_and_back(&db, "t", &["--alter", "alter v type varchar(30)"]).await, nothing());
    // The sequence of the serial is widened with its column, as that of an identity is by ALTER itself.
    let lines = changed(&db, "t", &["--alter", "alter id type bigint"]).await;
    assert!(lines.iter().any(|line| line.contains('+') && line.contains("bigint")), "{lines:#?}");
    let before: i64 = db.query_value("select last_value from t_id_seq").await;
    db.execute("insert into t (v) values ('next')").await;
    let (id, no): (i64, i32) = {
        let rows = db.query("select id, no from t where v = 'next'", &[]).await;
        (rows[0].get(0), rows[0].get(1))
    };
    assert_eq!(id, before + 1);
    assert!(no > 100 + 5 * 299, "{no}");
    let kind: String = db
        .query_value(
            "select format_type(seqtypid, null) from pg_sequence where seqrelid = 't_id_seq'::regclass",
        )
        .await;
    assert_eq!(kind, "bigint");
    db.execute("drop table t").await;
    let left: i64 = db
        .query_value(
            "select count(*) from pg_class where relkind = 'S' and relnamespace = 'public'::regnamespace",
        )
        .await;
    assert_eq!(left, 0, "every sequence belongs to the new table");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_keys_come_back_and_hold() {
    let db = TestDb::create("foreign_keys").await;
    db.execute(
        "create table parent (a int, b int, primary key (a, b)); insert into parent select g, g from generate_series(1, 50) g;
         create table t (id int primary key, a int, b int, up int references t on delete cascade,
             code int unique,
             constraint to_parent foreign key (a, b) references parent match full on update cascade on delete set null);
         insert into t select g, 1 + g % 50, 1 + g % 50, nullif(g - 1, 0), g from generate_series(1, 200) g;
         comment on constraint to_parent on t is 'upwards';
         create table child (id int primary key, t_id int references t on delete set null deferrable initially deferred,
             code int references t (code) on update restrict);
         insert into child select g, g, g from generate_series(1, 100) g;
         create table old_child (t_id int);
         insert into old_child values (12345);
         alter table old_child add constraint not_for_all foreign key (t_id) references t not valid",
    )
    .await;
    let change = ["--alter", "alter id type bigint, alter a type bigint"];
    assert_eq!(changed_and_back(&db, "t", &change).await, nothing());
    let lines = changed(&db, "t", &change).await;
    assert!(lines.iter().all(|line| line.contains("bigint") || line.contains("integer")), "{lines:#?}");
    let valid: i64 =
        db.query_value("select count(*) from pg_constraint where contype = 'f' and convalidated and connamespace = 'public'::regnamespace").await;
    assert_eq!(valid, 4);
    let client = db.client();
    assert!(client.batch_execute("insert into child values (1000, 99999, null)").await.is_err(), "enforced");
    db.execute("delete from parent where a = 5; delete from t where id = 200").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_keep_their_state_and_never_fire_for_a_row_we_write() {
    let db = TestDb::create("triggers").await;
    db.execute(
        "create table audit (id bigint generated always as identity, what text);
         create table t (id int primary key, v text, updated_at timestamptz);
         create function note() returns trigger language plpgsql as
             $$ begin insert into public.audit (what) values (tg_name || ' ' || tg_op); return null; end $$;
         create function touch() returns trigger language plpgsql as
             $$ begin new.updated_at = clock_timestamp(); return new; end $$;
         create trigger a_after after insert or update or delete on t for each row execute function note();
         create trigger b_touch before insert or update on t for each row execute function touch();
         create trigger c_always after update of v on t for each row when (old.v is distinct from new.v) execute function note();
         alter table t enable always trigger c_always;
         create trigger d_replica after insert on t for each row execute function note();
         alter table t enable replica trigger d_replica;
         create trigger \"E off ON t\" after delete on t for each statement execute function note();
         alter table t disable trigger \"E off ON t\";
         create trigger f_tables after update on t referencing old table as o new table as n
             for each statement execute function note();
         create constraint trigger g_constraint after insert on t deferrable initially deferred
             for each row execute function note();
         comment on trigger a_after on t is 'audit';
         insert into t (id, v) select g, 'v' from generate_series(1, 100) g",
    )
    .await;
    db.execute("truncate audit").await;
    let before = schema_dump(&db).await;
    let writes = "insert into t (id, v) values (1000 + {n}, 'new'); update t set v = 'u{n}' where id = {n}; delete from t where id = 50 + {n}";
    let once = 2 + 3 + 1; // a and g for the insert; a, c, f for the update; a for the delete
    db.execute(&writes.replace("{n}", "1")).await;
    run(&db, "t", &["--alter", "alter id type bigint"]).await;
    db.execute(&writes.replace("{n}", "2")).await;
    db.pgrecast(&["run", "t"]).await.expect_code(0);
    db.execute(&writes.replace("{n}", "3")).await;
    db.pgrecast(&["verify", "t"]).await.expect_code(0);
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    db.execute(&writes.replace("{n}", "4")).await;
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    let entries: i64 = db.query_value("select count(*) from audit").await;
    assert_eq!(entries, 4 * once);
    assert_eq!(
        diff(&without_sequence_values(&before), &without_sequence_values(&schema_dump(&db).await)),
        nothing()
    );
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_any_type_serve() {
    let db = TestDb::create("keys").await;
    db.execute(
        "create extension citext; create extension ltree;
         create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create domain code as text check (value <> '')",
    )
    .await;
    let kinds = [
        ("citext", "'K' || g", "citext"),
        ("citext", "'K' || g", "text"),
        ("ltree", "('a.b' || g)::ltree", "ltree"),
        ("text collate loose", "'K' || g", "text collate loose"),
        ("numeric", "g / 4.0", "numeric"),
        ("bytea", "decode(md5(g::text), 'hex')", "bytea"),
        ("timestamptz", "timestamptz '2024-01-01' + g * interval '1 hour'", "timestamptz"),
        ("code", "'c' || g", "code"),
        ("char(8)", "'c' || g", "char(8)"),
        ("inet", "'10.0.0.0'::inet + g", "inet"),
        ("int", "g", "text"),
        ("date", "date '2024-01-01' + g", "timestamp"),
        ("varchar(10)", "'v' || g", "varchar(20)"),
    ];
    for (kind, value, changed) in some(kinds, 0, 2) {
        db.execute(&format!(
            "drop table if exists t; create table t (k {kind} primary key, v int);
             insert into t select {value}, g from generate_series(1, 200) g"
        ))
        .await;
        let alter = format!("alter k type {changed}, alter v type bigint");
        let mut change = vec!["run", "t", "--alter", &alter];
        if kind == "int" {
            change.extend(["--reverse", "k=k::int"]);
        }
        db.pgrecast(&change).await.expect_code(0);
        db.execute(&format!(
            "update t set v = -v where v < 10; delete from t where v > 190;
             insert into t select k, 5 from (select ({value})::{changed} as k from generate_series(301, 305) g) s"
        ))
        .await;
        let there: Vec<String> = db.query_column("select k::text || ' ' || v from t order by 1").await;
        db.pgrecast(&["rollback", "t"]).await.expect_code(0);
        let back: Vec<String> = db.query_column("select k::text || ' ' || v from t order by 1").await;
        if kind != "date" {
            assert_eq!(there, back, "{kind} to {changed}");
        }
        assert_eq!(there.len(), back.len());
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    }
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_keys_to_and_from_partitioned_tables() {
    let db = TestDb::create("partitioned").await;
    db.execute(
        "create table years (year int primary key) partition by range (year);
         create table years_20 partition of years for values from (2000) to (2020);
         create table years_40 partition of years for values from (2020) to (2040);
         insert into years select generate_series(2000, 2039);
         create table t (id int primary key, year int references years on delete cascade, v text);
         insert into t select g, 2000 + g % 40, 'v' from generate_series(1, 1000) g;
         create table payments (t int not null, day int not null, b text, constraint of_t foreign key (t) references t
             on update cascade deferrable) partition by range (day);
         comment on constraint of_t on payments is 'whose';
         create table payments_1 partition of payments for values from (0) to (10);
         create table payments_2 (b text, day int not null, t int not null);
         alter table payments_2 add constraint own_name foreign key (t) references t on update cascade deferrable;
         alter table payments attach partition payments_2 for values from (10) to (20);
         create table payments_3 partition of payments for values from (20) to (90) partition by list (day);
         create table payments_3_20 partition of payments_3 for values in (20, 21);
         create table payments_3_rest partition of payments_3 default;
         create table alone (t int references t) partition by hash (t);
         create table alone_1 partition of alone for values with (modulus 1, remainder 0);
         create table part_only (id int, day int) partition by list (day);
         create table part_only_1 partition of part_only for values in (1);
         alter table part_only_1 add foreign key (id) references t on delete set null;
         insert into payments select g, g % 60, 'b' from generate_series(1, 1000) g;
         insert into alone select generate_series(1, 30)",
    )
    .await;
    // The server never validates its records for partitions of a referenced table; this has no effect while they are
    // partitions.
    let is_other = |line: &&String| !line.contains("FOREIGN KEY (year) REFERENCES years_");
    for differs in [
        changed_and_back(&db, "t", &["--alter", "alter column id type bigint"]).await,
        changed(&db, "t", &["--rebuild"]).await,
    ] {
        assert_eq!(differs.iter().filter(is_other).collect::<Vec<_>>(), Vec::<&String>::new());
    }
    assert!(db.client().batch_execute("insert into payments values (99999, 25, 'x')").await.is_err());
    assert!(db.client().batch_execute("insert into t values (99999, 1999)").await.is_err());
    db.execute("delete from payments where t % 40 = 39; delete from years where year = 2039").await;
    db.execute("update t set id = 5000 where id = 35").await;
    assert_eq!(db.query_value::<i64>("select count(*) from payments where t = 5000").await, 1);
}
