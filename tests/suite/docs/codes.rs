//! Codes of refusals and risks: each has its text, and the tables of docs/operations.md are printed from it
//! (`PGRECAST_BLESS=1 cargo test --test suite -- codes` writes them).

use std::collections::HashSet;
use std::fmt::Write as _;

use pgrecast::error::Code as Refusal;
use pgrecast::plan::risk::Code as Risk;

use crate::support::*;

/// A code with what it means and what to do.
type Entry = (&'static str, &'static str, &'static str);

fn refusals() -> Vec<Entry> {
    Refusal::ALL.iter().map(|code| (code.as_str(), code.meaning(), code.advice())).collect()
}

fn risks() -> Vec<Entry> {
    Risk::ALL.iter().map(|code| (code.as_str(), code.meaning(), code.advice())).collect()
}

fn is_sentence(text: &str) -> bool {
    text.starts_with(|c: char| c.is_uppercase() || c == '`')
        && text.ends_with(['.', ')'])
        && !text.contains('|')
}

#[test]
fn every_code_is_a_word_of_its_own_with_a_meaning_and_an_advice() {
    for list in [refusals(), risks()] {
        let mut words = HashSet::new();
        let mut meanings = HashSet::new();
        for (word, meaning, advice) in list {
            assert!(word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{word}");
            assert!(words.insert(word), "{word} occurs twice");
            assert!(meanings.insert(meaning), "{word} means what another code means");
            assert!(is_sentence(meaning) && is_sentence(advice), "{word}: {meaning} {advice}");
        }
    }
}

#[test]
fn the_documentation_has_every_code() {
    let mut table = String::from("| code | meaning | what to do |\n|---|---|---|\n");
    for (word, meaning, advice) in refusals() {
        let _ = writeln!(table, "| `{word}` | {meaning} | {advice} |");
    }
    expect_printed("docs/operations.md", "refusals, printed by tests/suite/docs/codes.rs", &table);

    let mut table = String::from("| code | meaning | what to do |\n|---|---|---|\n");
    for (code, (word, meaning, advice)) in Risk::ALL.iter().zip(risks()) {
        let data = if code.needs_data() { " Found by `--check-data` only." } else { "" };
        let usual = if code.is_usual() { " `any` does not include it." } else { "" };
        let _ = writeln!(table, "| `{word}` | {meaning}{data}{usual} | {advice} |");
    }
    expect_printed("docs/operations.md", "risks, printed by tests/suite/docs/codes.rs", &table);
}
