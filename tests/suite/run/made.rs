//! What an event trigger adds to every table is removed from our tables, or the change is refused before it begins.

use crate::support::*;

/// Two roles' table with rows, and where triggers write.
const TABLE: &str = "
    create table t (id int primary key, note text) with (fillfactor = 80);
    insert into t select g, 'n' from generate_series(1, 200) g;
    create table seen (what text);
    create function see() returns trigger language plpgsql as $$
        begin insert into public.seen values (tg_table_schema || '.' || tg_table_name); return null; end $$";

/// An event trigger that does this for each table that is created, `%1$s`.
fn on_every_table(tags: &str, what: &[&str]) -> String {
    let statements: Vec<String> =
        what.iter().map(|text| format!("execute format($x${text}$x$, o.objid::regclass);")).collect();
    format!(
        "create function adds() returns event_trigger language plpgsql as $f$ declare o record; begin
             if current_setting('app.busy', true) = 'yes' then return; end if;
             for o in select distinct objid from pg_event_trigger_ddl_commands() where object_type = 'table' loop
                 perform set_config('app.busy', 'yes', true);
                 {}
                 perform set_config('app.busy', '', true);
             end loop;
         end $f$;
         create event trigger adds on ddl_command_end when tag in ({tags}) execute function adds()",
        statements.join("\n")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_added_to_every_table_is_taken_off_ours() {
    let db = TestDb::create("made").await;
    let app = db.role("app", "").await;
    db.execute(&format!("{TABLE}; grant select, insert, update on t to {}; create publication p", app.name))
        .await;
    db.execute(&on_every_table(
        "'CREATE TABLE', 'CREATE TABLE AS'",
        &[
            "create trigger seen after insert or update or delete on %1$s for each row execute function public.see()",
            "alter table %1$s enable row level security",
            "alter table %1$s force row level security",
            "create policy nobody on %1$s using (false)",
            "create rule gone as on delete to %1$s do also insert into public.seen values ('rule')",
            "alter table %1$s set (autovacuum_enabled = off, fillfactor = 50)",
            "alter table %1$s replica identity full",
            "grant all on %1$s to public",
            "alter publication p add table only %1$s",
        ],
    ))
    .await;
    let before = schema_dump(&db).await;
    db.pgrecast(&["run", "t", "--alter", "alter id type bigint"]).await.expect_code(0);
    let rows = "select count(*) from t";
    let sees = db.connect_as(&app).await.query_one(rows, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(sees, 200, "the application sees all rows");
    let ours = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname like 'pgrecast%' and c.relkind = 'r'
                  and (c.relrowsecurity or exists (select from pg_rewrite r where r.ev_class = c.oid)
                       or exists (select from pg_trigger g where g.tgrelid = c.oid and g.tgname = 'seen')
                       or exists (select from pg_publication_rel r where r.prrelid = c.oid))";
    assert_eq!(db.query_value::<i64>(ours).await, 0, "nor is any of it on tables that only we use");
    db.execute("update t set note = 'x' where id < 9").await;
    // The first row of the state is inserted when it is created, before added triggers can be dropped.
    let written = db.query_column::<String>("select what from seen").await;
    assert_eq!(written, ["pgrecast.version"]);
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    assert_nothing_left(&db).await;
}

/// Refused by the plan, with these words.
async fn refused(tags: &str, what: &[&str], words: &str) {
    let db = TestDb::create("made").await;
    db.execute(TABLE).await;
    db.execute(&on_every_table(tags, what)).await;
    let change = ["t", "--alter", "alter id type bigint", "--json"];
    let plan = db.pgrecast(&[&["plan"], &change[..]].concat()).await.expect_code(3).json();
    let refusal = &plan["refusals"][0];
    assert_eq!(refusal["code"], "event-trigger", "{plan}");
    let said = refusal["message"].as_str().unwrap();
    assert!(said.contains(words), "{said}");
    assert!(refusal["hint"].as_str().unwrap().contains("(adds)"), "{refusal}");
    db.pgrecast(&[&["run"], &change[..]].concat()).await.expect_code(3);
    assert_no_object_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_taken_off_is_refused_by_name() {
    refused("'CREATE TABLE'", &["alter table %1$s add made_at timestamptz"], "column made_at").await;
    refused("'ALTER TABLE'", &["alter table %1$s enable row level security"], "row-level security on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_added_during_the_swap_undoes_it() {
    let db = TestDb::create("made").await;
    db.execute(TABLE).await;
    let before = schema_dump(&db).await;
    // The trigger that captures the way back is the first one that is made where the application's tables are.
    db.execute(
        "create function adds() returns event_trigger language plpgsql as $f$ begin
             if exists (select from pg_trigger where tgname = 'pgrecast_guard' and tgrelid = 't'::regclass) then
                 alter table t enable row level security;
             end if; end $f$;
         create event trigger adds on ddl_command_end when tag in ('CREATE TRIGGER') execute function adds()",
    )
    .await;
    let run = db.pgrecast(&["run", "t", "--alter", "alter id type bigint"]).await;
    let said = run.whole();
    assert_eq!(run.code, 5, "{said}");
    assert!(said.contains("changes public.t during the swap: row-level security on"), "{said}");
    db.execute("drop event trigger adds; drop function adds()").await;
    db.pgrecast(&["abort", "t"]).await.expect_code(0);
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    assert_nothing_left(&db).await;
}
