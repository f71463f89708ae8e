//! Output and stored text: control characters in names and values are escaped, and row values are neither stored nor
//! logged.

use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::support::*;

/// A name with control characters: red text, text from right to left, and a forged line.
const NAME: &str = "n\u{1b}[31m\u{202e}\u{9b}2J\nhint: all is well";
/// The same in a value, and in an application name.
const VALUE: &str = "v\u{1b}]0;owned\u{7}\nhint: all is well";

fn in_sql(text: &str) -> String {
    format!("\"{text}\"")
}

/// Panics if a control character is not escaped, or a line is forged.
#[track_caller]
fn expect_harmless(output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let acts = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}');
        assert!(!text.contains(acts), "{:?}", output.whole());
        let is_forged = text.lines().any(|line| line.trim_start().starts_with("hint: all is well"));
        assert!(!is_forged, "{}", output.whole());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_values_of_others_do_not_reach_the_terminal_as_they_are() {
    let db = TestDb::create("hostile").await;
    let table = in_sql(NAME);
    db.execute(&format!(
        "create table {table} (id text primary key, {table} text);
         create index {} on {table} ({table});
         insert into {table} values ('{VALUE}', '{VALUE}')",
        in_sql(&NAME.replace('n', "i"))
    ))
    .await;
    let change = format!("alter column {table} type int using {table}::int");
    let plan = db.pgrecast(&["plan", &table, "--alter", &change, "--check-data"]).await;
    assert!(plan.stdout.contains(r"\x1b[31m\u{202e}\x9b2J\nhint: all is well"), "{}", plan.whole());
    expect_harmless(&plan);

    let mut holder = db.connect().await;
    holder.execute("select set_config('application_name', $1, false)", &[&VALUE]).await.unwrap();
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("lock table {table} in row exclusive mode")).await.unwrap();
    let timing = ["--lock-timeout", "50ms", "--lock-attempts", "2"];
    let blocked = [&["run", &table, "--alter", &change][..], &timing].concat();
    let blocked = db.pgrecast(&blocked).await.expect_code(1);
    assert!(blocked.stderr.contains("hint: all is well"), "the holder is named: {}", blocked.whole());
    expect_harmless(&blocked);
    held.rollback().await.unwrap();

    for format in ["text", "json"] {
        let run = db.pgrecast(&["run", &table, "-v", "--log-format", format]).await.expect_code(5);
        assert!(run.stderr.contains("]0;owned"), "{}", run.whole());
        expect_harmless(&run);
    }
    for command in ["status", "list"] {
        expect_harmless(&db.pgrecast(&[command]).await.expect_code(0));
        let output = db.pgrecast(&[command, "--json"]).await.expect_code(0);
        expect_harmless(&output);
        assert_eq!(output.json()[0]["tables"][0], format!("public.{table}"), "JSON is exact");
    }
    let aborted = db.pgrecast(&["abort", &table]).await.expect_code(0);
    expect_harmless(&aborted);
    assert_nothing_left(&db).await;
}

/// Everything in the tables of the state, as text.
async fn all_state(db: &TestDb<'_>) -> String {
    let mut all = String::new();
    for row in db.query("select oid::regclass::text from pg_class where relnamespace = 'pgrecast'::regnamespace and relkind = 'r'", &[]).await {
        let table: String = row.get(0);
        for row in db.query(&format!("select t::text from {table} t"), &[]).await {
            all += row.get::<_, &str>(0);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_values_in_the_servers_words_are_shown_and_neither_stored_nor_logged() {
    let db = TestDb::create("row_values").await;
    db.execute(
        "create table t (id int primary key, ssn text);
         insert into t values (1, '123-45-6789');
         create function angry(text) returns text language plpgsql immutable as
         $$ begin raise notice 'seen %', $1; raise 'no good: %', $1 using detail = $1, hint = $1; end $$",
    )
    .await;
    for change in [
        "add constraint c check (ssn is null)",
        "alter ssn type int using ssn::int",
        "alter ssn type text using angry(ssn)",
        "alter ssn type date using ssn::date",
    ] {
        let shown = db.pgrecast(&["run", "t", "--alter", change]).await.expect_code(5);
        assert!(
            shown.stderr.contains("detail: ") && shown.stderr.contains("123-45-6789"),
            "{}",
            shown.whole()
        );
        assert!(!all_state(&db).await.contains("123-45"), "{change}: stored");
        let logged = db.pgrecast(&["run", "t", "--json", "--log-format", "json", "-v"]).await.expect_code(5);
        assert!(!logged.whole().contains("123-45"), "{change}: logged\n{}", logged.whole());
        let noted = db.pgrecast(&["run", "t", "-vv"]).await.expect_code(5);
        let events = noted.stderr.lines().filter(|line| !line.starts_with("detail: "));
        assert!(!events.collect::<String>().contains("123-45"), "{change}: logged\n{}", noted.whole());
        assert!(!all_state(&db).await.contains("123-45"), "{change}: stored");
        db.pgrecast(&["abort", "t"]).await.expect_code(0);
    }
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_utf8_is_said() {
    let db = TestDb::create("sql_ascii").await;
    let name = format!("{}_bytes", db.name());
    db.execute(&format!("create database {name} template template0 encoding 'SQL_ASCII' locale 'C'")).await;
    let mut psql = Command::new("psql");
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1"]).envs(db.psql_env_as("postgres")).env("PGDATABASE", &name);
    psql.env("PGCLIENTENCODING", "SQL_ASCII").arg("-c");
    psql.arg(std::ffi::OsStr::from_bytes(
        b"create table ascii (id int primary key, a int);
          create table bytes (id int primary key, a int, b text default 'caf\xe9')",
    ));
    assert!(psql.status().unwrap().success());
    let pgrecast = |arguments: &[&[u8]], variable: &[u8]| {
        let arguments = arguments.iter().map(|argument| std::ffi::OsStr::from_bytes(argument));
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgrecast"));
        command.args(arguments).envs(db.psql_env_as("postgres"));
        let output = command.env("PGDATABASE", std::ffi::OsStr::from_bytes(variable)).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let plan = |table: &'static str| {
        pgrecast(&[b"plan", table.as_bytes(), b"--alter", b"alter a type bigint"], name.as_bytes())
    };
    assert_eq!(plan("ascii").0, Some(0));
    let (code, said) = plan("bytes");
    assert!(code == Some(3) && said.contains("not UTF-8") && said.contains("hint: "), "{said}");
    for json in [&b"--json"[..], b"-v"] {
        let (code, said) = pgrecast(&[b"plan", b"caf\xe9", json], name.as_bytes());
        assert!(code == Some(2) && said.contains("UTF-8") && !said.contains("panicked"), "{said}");
    }
    let (code, said) = pgrecast(&[b"list"], b"caf\xe9");
    assert!(code == Some(2) && said.contains("PGDATABASE"), "{said}");
    db.execute(&format!("drop database {name} with (force)")).await;
    assert_nothing_left(&db).await;
}
