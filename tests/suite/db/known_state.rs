//! Sessions start from a known state, whatever the database, the role or the configuration sets.

use crate::support::cases::all_are_wanted;
use crate::support::*;

/// Settings that the test leaves alone.
const LEFT_OUT: &[&str] = &[
    // No session can begin, or none can be looked into.
    "client_encoding",
    "application_name",
    "local_preload_libraries",
    "session_preload_libraries",
    "dynamic_library_path",
    "post_auth_delay",
    "log_disconnections",
    "log_connections",
    "lc_messages",
    "max_stack_depth",
    // Of the transaction, not of the session.
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    // Read-only, or may be set in some builds only.
    "default_with_oids",
    "ssl_renegotiation_limit",
    // The session that tests use to look at the result would end, or wait.
    "exit_on_error",
    // What values mean: recorded with a migration, and odd ones are the application's own.
    "search_path",
    "TimeZone",
    "timezone_abbreviations",
    "DateStyle",
    "default_text_search_config",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    // Names of objects, which have to exist.
    "default_tablespace",
    "temp_tablespaces",
    "default_table_access_method",
    "role",
    "session_authorization",
    // What the administrator lets a session use of the disk: an index build needs it.
    "temp_file_limit",
    // Files and much output on the server.
    "trace_locks",
    "trace_notify",
    "trace_sort",
];

/// A setting with an odd value that the server takes.
struct Odd {
    name: String,
    value: String,
}

async fn odd_values(db: &TestDb<'_>) -> Vec<Odd> {
    // Waits are as short as they can be without ending the session that does the looking.
    let rows = db
        .query(
            "select name, case
                 when vartype = 'bool' then case setting when 'on' then 'off' else 'on' end
                 when vartype = 'enum' then (select v from unnest(enumvals) v where v <> setting limit 1)
                 when unit in ('ms', 's', 'min') and name like '%timeout%' then case unit when 'ms' then '400' else '1' end
                 when vartype in ('integer', 'real') and setting = min_val then
                     least(max_val::numeric, greatest(1, min_val::numeric + 1))::text
                 when vartype in ('integer', 'real') then min_val
             end as value
             from pg_settings
             where context in ('user', 'superuser') and vartype <> 'string' and not name = any($1) and name not like '%.%'
               and name not like 'log\\_%' and name not like 'debug\\_%' and name not like 'trace\\_%'
             order by name",
            &[&LEFT_OUT],
        )
        .await;
    let all = rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, Option<String>>(1)));
    all.filter_map(|(name, value)| Some(Odd { name, value: value? })).collect()
}

/// A small migration and its way back under these settings of the database.
async fn comes_through(group: &[Odd]) {
    let db = TestDb::create("settings").await;
    db.execute(
        "create table t (id int primary key, at timestamptz default '2020-01-01', f float8, b bytea, a int[]);
         insert into t select g, '2020-02-03 04:05:06', g / 3.0, '\\x00ff', array[g, null] from generate_series(1, 300) g;
         create index t_f on t (f) where id > 3; create view v as select id, a from t;
         create table before_it as table t",
    )
    .await;
    let set: Vec<String> = group
        .iter()
        .map(|odd| format!("alter database {} set {} = '{}'", db.name(), odd.name, odd.value))
        .collect();
    let names: Vec<&str> = group.iter().map(|odd| odd.name.as_str()).collect();
    for statement in &set {
        if let Err(error) = db.client().batch_execute(statement).await {
            panic!("{statement}: {error:?}");
        }
    }
    for command in
        [&["run", "t", "--alter", "alter id type bigint"][..], &["rollback", "t"], &["cleanup", "t"]]
    {
        let output = db.pgrecast(command).await;
        assert_eq!(output.code, 0, "{command:?} under {names:?}: {}", output.whole());
    }
    let same =
        "select count(*) from (table t except table before_it union all (table before_it except table t)) d";
    assert_eq!(db.query_value::<i64>(same).await, 0, "{names:?}");
    db.execute(&format!("alter database {} reset all", db.name())).await;
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_setting_of_the_database_stands_in_the_way() {
    let all = odd_values(&TestDb::create("settings").await).await;
    assert!(all.len() > 60, "{}", all.len());
    let size = if all_are_wanted() { 1 } else { all.len().div_ceil(4) };
    for group in all.chunks(size) {
        comes_through(group).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planner_setting_of_the_role_is_not_ours() {
    let db = TestDb::create("settings").await;
    db.execute("create table t (id int primary key)").await;
    let owner = db.owner_role("owner", &["t"]).await;
    let odd = [
        ("join_collapse_limit", "1"),
        ("from_collapse_limit", "1"),
        ("enable_seqscan", "off"),
        ("random_page_cost", "77"),
        ("cursor_tuple_fraction", "0.5"),
        ("statement_timeout", "30s"),
    ];
    for (name, value) in odd {
        db.execute(&format!("alter role {} set {name} = '{value}'", owner.name)).await;
    }
    db.execute(&format!("alter role {} set work_mem = '5MB'", owner.name)).await;
    // What our sessions have is what a function of the table's default sees.
    let seen: Vec<String> = odd.iter().map(|(name, _)| format!("current_setting('{name}')")).collect();
    db.execute(&format!(
        "create table seen (what text); grant insert on seen to {};
         create function look() returns int language plpgsql volatile security definer as $$ begin
             insert into public.seen select concat_ws('|', {}, current_setting('work_mem')); return 1; end $$",
        owner.name,
        seen.join(", ")
    ))
    .await;
    db.execute("insert into t values (1), (2)").await;
    db.pgrecast_as(&owner, &["run", "t", "--alter", "add x int not null default look()"])
        .await
        .expect_code(0);
    let expected = "8|8|on|4|0.1|0|5MB";
    assert_eq!(db.query_column::<String>("select distinct what from seen").await, [expected]);
    db.pgrecast_as(&owner, &["cleanup", "t"]).await.expect_code(0);
    db.execute(&format!("drop owned by {} cascade", owner.name)).await;
}
