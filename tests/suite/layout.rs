//! Rules for the source tree. Modules have an order, and each may only use those before it. Files have no circular
//! uses, SQL files have headers, and only one module knows the state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ORDER: [&str; 24] = [
    "error",
    "name",
    "failpoint",
    "db",
    "alter",
    "change",
    "catalog",
    "plan",
    "state",
    "pair",
    "pace",
    "run",
    "lock",
    "shadow",
    "capture",
    "replay",
    "copy",
    "index",
    "verify",
    "swap",
    "in_place",
    "cleanup",
    "preview",
    "engine",
];

/// The tables of our state.
const STATE: [&str; 11] = [
    "version",
    "migration",
    "session",
    "table_change",
    "part",
    "chunk",
    "mapping",
    "key_column",
    "dependent",
    "step",
    "segment",
];

fn files(folder: &Path, kind: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, kind, found);
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
}

fn top(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&top("src"), "rs", &mut found);
    found
}

/// A file's module path: `replay`, `replay::round`.
fn module_path(path: &Path) -> Vec<String> {
    let relative = path.strip_prefix(top("src")).unwrap().with_extension("");
    let mut parts: Vec<String> =
        relative.components().map(|part| part.as_os_str().to_str().unwrap().to_owned()).collect();
    parts.retain(|part| part != "mod");
    parts
}

/// The position of a file's module in the order; none for the binary.
fn place(path: &Path) -> Option<usize> {
    let first = module_path(path).into_iter().next()?;
    ORDER.iter().position(|name| *name == first)
}

#[test]
fn a_module_uses_only_those_that_are_read_before_it() {
    let mut wrong = Vec::new();
    for path in rust_files() {
        let Some(own) = place(&path) else { continue };
        for (number, line) in (1..).zip(fs::read_to_string(&path).unwrap().lines()) {
            for (place, name) in ORDER.iter().enumerate().skip(own + 1) {
                let uses = [format!("crate::{name}::"), format!("crate::{name};")];
                if uses.iter().any(|text| line.contains(text)) {
                    wrong.push(format!("{}:{number}: {} uses {}", path.display(), ORDER[own], ORDER[place]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_library_has_its_place() {
    let library = fs::read_to_string(top("src/lib.rs")).unwrap();
    for line in library.lines() {
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            assert!(ORDER.contains(&name), "module {name} has no place in the order");
        }
    }
}

/// The uses between files of one module: siblings by `super::name`.
fn siblings(path: &Path, text: &str, known: &BTreeSet<Vec<String>>) -> BTreeSet<Vec<String>> {
    let own = module_path(path);
    let parent = &own[..own.len() - 1];
    let names = text.split("super::").skip(1).flat_map(|rest| {
        let (list, _) = rest.split_once(';').unwrap_or((rest, ""));
        let list: Vec<String> = match list.strip_prefix('{') {
            Some(list) => list.split(',').map(|item| item.trim().to_owned()).collect(),
            None => vec![list.to_owned()],
        };
        list.into_iter().map(|item| {
            item.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("").to_owned()
        })
    });
    names
        .map(|name| [parent, &[name]].concat())
        .filter(|module| known.contains(module) && *module != own)
        .collect()
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let all = rust_files();
    let known: BTreeSet<Vec<String>> =
        all.iter().map(|path| module_path(path)).filter(|module| module.len() > 1).collect();
    let mut left: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = all
        .iter()
        .filter(|path| module_path(path).len() > 1)
        .map(|path| (module_path(path), siblings(path, &fs::read_to_string(path).unwrap(), &known)))
        .collect();
    assert!(left.values().any(|uses| !uses.is_empty()), "no use of a sibling was read");
    // Removes files without remaining uses, until none is left or only circles are.
    loop {
        let done: Vec<Vec<String>> =
            left.iter().filter(|(_, uses)| uses.is_empty()).map(|(module, _)| module.clone()).collect();
        if done.is_empty() {
            break;
        }
        for module in &done {
            left.remove(module);
            for uses in left.values_mut() {
                uses.remove(module);
            }
        }
    }
    assert!(left.is_empty(), "these files use each other in a circle: {left:#?}");
}

#[test]
fn no_statement_on_our_state_stands_outside_its_module() {
    let mut all = rust_files();
    files(&top("sql"), "sql", &mut all);
    let (src, sql) = (top("src/state"), top("sql/state"));
    for path in all.iter().filter(|path| !path.starts_with(&src) && !path.starts_with(&sql)) {
        let text = fs::read_to_string(path).unwrap();
        for table in STATE {
            assert!(
                !text.contains(&format!("pgrecast.{table}")),
                "{} speaks of pgrecast.{table}",
                path.display()
            );
        }
    }
}

#[test]
fn the_library_never_prints() {
    for path in rust_files().iter().filter(|path| place(path).is_some()) {
        let text = fs::read_to_string(path).unwrap();
        for word in ["println!", "eprintln!", "print!(", "eprint!("] {
            assert!(!text.contains(word), "{} prints with {word}", path.display());
        }
    }
}

#[test]
fn every_statement_says_what_it_is_for() {
    let mut all = Vec::new();
    files(&top("sql"), "sql", &mut all);
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-- "), "{} has no header", path.display());
        assert!(text.contains("Lock: "), "{} does not say which locks it takes", path.display());
    }
}

#[test]
fn statements_stand_in_the_folder_of_the_module_that_runs_them() {
    for path in rust_files() {
        let own = module_path(&path).into_iter().next().unwrap();
        for rest in fs::read_to_string(&path).unwrap().split("sql!(\"").skip(1) {
            let folder = rest.split('/').next().unwrap();
            assert!(ORDER.contains(&folder), "{}: sql/{folder} is no module", path.display());
            // A later module may run what an earlier one is known by.
            let is_earlier =
                ORDER.iter().position(|name| *name == folder) <= ORDER.iter().position(|name| *name == own);
            assert!(is_earlier, "{}: sql/{folder} belongs to a later module", path.display());
        }
    }
}
