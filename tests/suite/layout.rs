//! The order of the modules is the order in which they are read: each may use those before it only.

use std::fs;
use std::path::{Path, PathBuf};

const ORDER: [&str; 22] = [
    "error",
    "name",
    "failpoint",
    "db",
    "alter",
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
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The module of the library that a file belongs to.
fn module_of(path: &Path) -> Option<usize> {
    let relative = path.strip_prefix(source()).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    ORDER.iter().position(|name| *name == first.trim_end_matches(".rs"))
}

#[test]
fn a_module_uses_only_those_that_are_read_before_it() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let mut wrong = Vec::new();
    for path in &files {
        let Some(own) = module_of(path) else { continue };
        for (number, line) in (1..).zip(fs::read_to_string(path).unwrap().lines()) {
            for (place, name) in ORDER.iter().enumerate() {
                if place > own && line.contains(&format!("crate::{name}::")) {
                    wrong.push(format!("{}:{number}: {} uses {name}", path.display(), ORDER[own]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_library_has_its_place() {
    let library = fs::read_to_string(source().join("lib.rs")).unwrap();
    for line in library.lines() {
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            assert!(ORDER.contains(&name), "module {name} has no place in the order");
        }
    }
}

#[test]
fn the_library_never_prints() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    for path in files.iter().filter(|path| module_of(path).is_some()) {
        let text = fs::read_to_string(path).unwrap();
        for word in ["println!", "eprintln!", "print!(", "eprint!("] {
            assert!(!text.contains(word), "{} prints with {word}", path.display());
        }
    }
}

#[test]
fn every_statement_says_what_it_is_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    for entry in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(entry.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("-- "), "{} has no header", path.display());
            assert!(text.contains("Lock: "), "{} does not say which locks it takes", path.display());
        }
    }
}
