//! Parses text to a syntax tree, and converts errors of the parser to errors that show the position.
//!
//! A text that the parser does not accept is refused, even if the server might accept it: pgrecast could miss a `USING`
//! in it and copy rows wrongly. In the grammar of PostgreSQL 14 to 18 there are two known cases: `COMPRESSION` and
//! `STORAGE` inside `ADD COLUMN` (since 14 and 16). Both can be given as separate actions; the hint says so.

use squawk_syntax::{SourceFile, SyntaxElement, SyntaxKind, SyntaxNode, ast::AstNode};

use crate::error::{Error, Result};

/// The maximum number of characters shown of a line: with the indent it fits in 80 columns.
const SHOWN: usize = 72;

/// Parses `before` and `text` together; positions in errors are positions in `text`. `what` names the text.
pub(super) fn source(before: &str, text: &str, what: &str) -> Result<SourceFile> {
    let parse = SourceFile::parse(&format!("{before}{text}"));
    match parse.errors().first() {
        None => Ok(parse.tree()),
        Some(error) => {
            let at = usize::from(error.range().start()).saturating_sub(before.len());
            Err(syntax_error(what, text, at, error.message()))
        }
    }
}

/// The byte position of the first text after a semicolon. (It uses tokens, so semicolons in strings and comments do not
/// count.)
pub(super) fn after_semicolon(text: &str) -> Option<usize> {
    let root = SourceFile::parse(text).syntax_node();
    let mut seen = false;
    for token in root.descendants_with_tokens().filter_map(SyntaxElement::into_token) {
        match token.kind() {
            SyntaxKind::SEMICOLON => seen = true,
            kind if seen && !kind.is_trivia() => return Some(token.text_range().start().into()),
            _ => {}
        }
    }
    None
}

/// The exact text of a node, without white space and comments around it.
pub(super) fn text_of(node: &SyntaxNode) -> String {
    node.text().to_string()
}

/// The text of a node on one line, shortened for a message.
pub(super) fn shown(node: &impl AstNode) -> String {
    let words: Vec<String> = text_of(node.syntax()).split_whitespace().map(str::to_owned).collect();
    let line = words.join(" ");
    if line.chars().count() > SHOWN {
        line.chars().take(SHOWN - 3).chain("...".chars()).collect()
    } else {
        line
    }
}

fn syntax_error(what: &str, text: &str, at: usize, message: &str) -> Error {
    // The parser reports the position after the last token that it accepted. The error shows the next token.
    let rest = text.get(at..).unwrap_or_default().trim_start();
    let at = if rest.is_empty() { text.trim_end().len() } else { text.len() - rest.len() };
    let near = match word(rest) {
        "" => "its end".to_owned(),
        word => format!("\"{word}\""),
    };
    let error = Error::usage(format!("syntax error in {what} at {near}")).lines(place(text, at));
    // 'expected command' refers to statements, but the user may only have written actions.
    let error = if message.starts_with("expected command") {
        error
    } else {
        error.because(message.replace("_KW", ""))
    };
    if message.contains("STORAGE_KW") || message.contains("COMPRESSION_KW") {
        return error.hint("Add the column first, then `alter column .. set storage` or `set compression`.");
    }
    error
}

fn word(text: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
    match text.find(|c| !is_part(c)) {
        Some(0) => text.chars().next().map_or("", |c| &text[..c.len_utf8()]),
        Some(end) => &text[..end],
        None => text,
    }
}

/// The line of `text` that contains the byte `at`, and a caret under it.
pub(super) fn place(text: &str, at: usize) -> Vec<String> {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
    let before = text[start..at].chars().count();
    let line: Vec<char> =
        text[start..end].trim_end().chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    // Show the line from its beginning, or shift it so that the caret is at two thirds of the width.
    let first = if line.len() <= SHOWN || before < SHOWN * 2 / 3 { 0 } else { before - SHOWN * 2 / 3 };
    let shown: String = line.iter().skip(first).take(SHOWN).collect();
    let number = text[..at].matches('\n').count() + 1;
    let label = (text.lines().count() > 1).then(|| format!("line {number}:"));
    label.into_iter().chain([shown, format!("{}^", " ".repeat(before - first))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_not_understood() {
        let text = "add column a int, frobnicate b";
        let error = source("alter table x ", text, "--alter").unwrap_err();
        assert_eq!(error.message, "syntax error in --alter at \"frobnicate\"");
        assert_eq!(error.lines, ["add column a int, frobnicate b", "                  ^"]);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place_and_the_line_is_numbered() {
        let text =
            format!("add a int,\nadd b text default '{}' frobnicate '{}'", "ä".repeat(90), "ö".repeat(90));
        let lines = source("alter table x ", &text, "--alter").unwrap_err().lines;
        assert_eq!(lines[0], "line 2:");
        assert!(lines.iter().all(|line| line.chars().count() <= 78), "{lines:?}");
        let column = lines[2].chars().count() - 1;
        assert_eq!(lines[1].chars().skip(column).take(10).collect::<String>(), "frobnicate");
    }

    #[test]
    fn an_end_too_early_is_shown_at_the_end() {
        let error = source("alter table x ", "add column a \n", "--alter").unwrap_err();
        assert_eq!(error.message, "syntax error in --alter at its end");
        assert_eq!(error.lines[0], "add column a");
        let error = source("alter table x ", "", "--alter").map(|_| ());
        assert!(error.is_ok(), "no action at all is for the caller to see");
    }

    #[test]
    fn semicolons_in_strings_and_comments_do_not_count() {
        assert_eq!(after_semicolon("add a text default ';x' -- ; y\n ; /* z */ "), None);
        assert_eq!(after_semicolon("add a int; drop b"), Some(11));
    }
}
