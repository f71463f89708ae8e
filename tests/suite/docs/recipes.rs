//! Runs docs/recipes.md block by block, unchanged, with a shell, on tables with rows.

use std::process::Command;

use crate::support::TestDb;

/// A recipe's parts, in order.
#[derive(Debug)]
enum Part {
    /// SQL that creates the tables.
    Given(String),
    /// The commands.
    Shell(String),
    /// SQL whose last result must be true.
    Then(String),
}

/// The parts of each section, by its heading.
fn recipes() -> Vec<(String, Vec<Part>)> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recipes.md")).unwrap();
    let mut recipes: Vec<(String, Vec<Part>)> = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        if let Some(open) = &mut block {
            if line == "```" {
                recipes.last_mut().unwrap().1.push(Part::Shell(block.take().unwrap()));
            } else {
                open.push_str(line);
                open.push('\n');
            }
        } else if let Some(heading) = line.strip_prefix("## ") {
            recipes.push((heading.to_owned(), Vec::new()));
        } else if line == "```sh" {
            block = Some(String::new());
        } else if let Some(rest) = line.strip_prefix("<!-- ") {
            let rest = rest.strip_suffix(" -->").unwrap_or_else(|| panic!("a comment of one line: {line}"));
            let part = match rest.split_once(": ") {
                Some(("given", sql)) => Part::Given(sql.to_owned()),
                Some(("then", sql)) => Part::Then(sql.to_owned()),
                _ => panic!("not understood: {line}"),
            };
            recipes.last_mut().unwrap().1.push(part);
        } else {
            assert!(!line.starts_with("    pgrecast"), "a block that no test runs: {line}");
        }
    }
    recipes
}

async fn run(db: &TestDb<'_>, heading: &str, script: &str) {
    let directory = std::path::Path::new(env!("CARGO_BIN_EXE_pgrecast")).parent().unwrap().to_owned();
    let here = tempfile::tempdir().unwrap();
    let path = format!(
        "{}:{}:{}",
        directory.display(),
        crate::support::cluster::bin_directory().display(),
        std::env::var("PATH").unwrap()
    );
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(here.path())
        .envs(db.psql_env())
        .env("PATH", path);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(
        done.status.success(),
        "{heading}:\n{script}\n{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_does_what_it_says() {
    if !crate::support::cluster::bin_directory().join("psql").exists() {
        return; // some packages of the server have no client
    }
    let recipes = recipes();
    assert!(recipes.len() >= 12, "{recipes:?}");
    for (heading, parts) in recipes {
        let db = TestDb::create("recipe").await;
        for part in parts {
            match part {
                Part::Given(sql) => db.execute(&sql).await,
                Part::Shell(script) => run(&db, &heading, &script).await,
                Part::Then(sql) => {
                    let (before, last) = sql.rsplit_once("; ").unwrap_or(("", &sql));
                    db.execute(before).await;
                    assert!(db.query_value::<bool>(last).await, "{heading}: {sql}");
                }
            }
        }
    }
}
