//! The definition of a database as lines of text for comparison: the output of `pg_dump`, and catalog rows that it does
//! not show. Objects of pgrecast are left out.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::cluster::bin_directory;
use super::database::TestDb;

/// The catalog's rows as lines. `%user_schemas%` stands for the condition on a namespace's name.
const CATALOG: &str = include_str!("dump_catalog.sql");

/// The definition of the database: sorted lines, each prefixed with its object.
///
/// Of `pg_dump --schema-only` each line becomes `TABLE public.orders | id integer NOT NULL`; the order
/// in which `pg_dump` shows objects does not matter. Then come the catalog's rows, as
/// `column public.orders.id | position 1, statistics -1, ..`.
pub async fn schema_dump(db: &TestDb<'_>) -> String {
    // Some packages of the server have no pg_dump: the catalog rows contain most of it too.
    let has_pg_dump = bin_directory().join("pg_dump").exists();
    let mut lines = if has_pg_dump { dump_lines(&pg_dump(db)) } else { Vec::new() };
    lines.extend(catalog_lines(db).await);
    lines.extend(sequence_lines(db).await);
    lines.sort();
    lines.join("\n")
}

/// The differences of two dumps: first removed lines (`-`), then new ones (`+`).
pub fn diff(before: &str, after: &str) -> Vec<String> {
    let mut surplus: BTreeMap<&str, i64> = BTreeMap::new();
    for line in after.lines() {
        *surplus.entry(line).or_default() += 1;
    }
    for line in before.lines() {
        *surplus.entry(line).or_default() -= 1;
    }
    let signed = |sign: &str, times: fn(i64) -> i64| -> Vec<String> {
        let repeated =
            |(line, count): (&&str, &i64)| vec![format!("{sign} {line}"); times(*count).max(0) as usize];
        surplus.iter().flat_map(repeated).collect()
    };
    let mut all = signed("-", |count| -count);
    all.extend(signed("+", |count| count));
    all
}

/// A dump without the lines that match the condition, for expected differences.
pub fn without(dump: &str, is_left_out: impl Fn(&str) -> bool) -> String {
    dump.lines().filter(|line| !is_left_out(line)).collect::<Vec<_>>().join("\n")
}

/// A dump without the values of sequences, for tests that write to tables with sequences.
pub fn without_sequence_values(dump: &str) -> String {
    without(dump, |line| line.starts_with("sequence value "))
}

fn pg_dump(db: &TestDb<'_>) -> String {
    let done = Command::new(bin_directory().join("pg_dump"))
        .envs(db.psql_env())
        .args(["--schema-only", "-N", "pgrecast", "-N", "pgrecast_*"])
        .stdin(Stdio::null())
        .output()
        .expect("pg_dump runs");
    assert!(done.status.success(), "pg_dump failed: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("a UTF-8 database")
}

/// Lines of a `pg_dump`, each prefixed with its object. `pg_dump` begins each object with `-- Name: orders; Type:
/// TABLE; Schema: public; Owner: postgres`.
fn dump_lines(dump: &str) -> Vec<String> {
    let mut object = None;
    let mut lines = Vec::new();
    for line in dump.lines() {
        if let Some(header) = line.strip_prefix("-- Name: ") {
            object = object_of(header);
            continue;
        }
        let Some(object) = &object else { continue };
        let is_noise =
            line.trim().is_empty() || line == "--" || line.starts_with("-- PostgreSQL database dump");
        let is_setting = line.starts_with("SET ") || line.starts_with('\\');
        if !is_noise && !is_setting {
            // The last column has no comma.
            lines.push(format!("{object} | {}", line.trim().trim_end_matches(',')));
        }
    }
    lines
}

/// `TABLE public.orders`; nothing for objects of pgrecast.
fn object_of(header: &str) -> Option<String> {
    let (name, rest) = header.split_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let (schema, _) = rest.split_once("; Owner: ").unwrap_or((rest, ""));
    let is_ours =
        name.split([' ', '.', '"', '!']).any(|word| word == "pgrecast" || word.starts_with("pgrecast_"));
    (!is_ours).then(|| format!("{kind} {schema}.{name}"))
}

async fn catalog_lines(db: &TestDb<'_>) -> Vec<String> {
    let user_schemas = r"(n.nspname !~ '^(pg_|pgrecast$|pgrecast_)' and n.nspname <> 'information_schema')";
    let lines: Vec<String> = db.query_column(&CATALOG.replace("%user_schemas%", user_schemas)).await;
    // A view's definition has several lines.
    lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

async fn sequence_lines(db: &TestDb<'_>) -> Vec<String> {
    let sequences: Vec<String> = db
        .query_column(
            r"select format('%I.%I', schemaname, sequencename) from pg_catalog.pg_sequences
              where schemaname !~ '^pgrecast($|_)'",
        )
        .await;
    let mut lines = Vec::new();
    for sequence in sequences {
        let row = &db.query(&format!("select last_value, is_called from {sequence}"), &[]).await[0];
        let (last_value, is_called): (i64, bool) = (row.get(0), row.get(1));
        lines.push(format!("sequence value {sequence} | last {last_value}, called {is_called}"));
    }
    lines
}
