//! Statements from `sql/`, with names filled in.

use super::Sql;

/// The text of a statement from a file under `sql/`, without its header comment.
macro_rules! sql {
    ($path:literal) => {
        $crate::name::Statement::from_file(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $path)))
    };
}
pub(crate) use sql;

/// A statement whose `{placeholders}` are filled by types that quote themselves.
#[derive(Debug, Clone)]
pub struct Statement(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Hole(String),
}

impl Statement {
    /// Reads the text of a file; the header (leading `--` lines) is not sent to the server. A placeholder is a word of
    /// lower-case letters and underscores in braces.
    #[must_use]
    pub fn from_file(text: &str) -> Self {
        let mut body = text;
        while let Some(rest) = body.trim_start().strip_prefix("--") {
            body = rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let mut pieces = Vec::new();
        let mut written = String::new();
        let mut rest = body.trim();
        while let Some((before, after)) = rest.split_once('{') {
            written.push_str(before);
            match after.split_once('}') {
                Some((name, tail)) if is_placeholder(name) => {
                    pieces.push(Piece::Text(std::mem::take(&mut written)));
                    pieces.push(Piece::Hole(name.to_owned()));
                    rest = tail;
                }
                _ => {
                    written.push('{');
                    rest = after;
                }
            }
        }
        written.push_str(rest);
        pieces.push(Piece::Text(written));
        Statement(pieces)
    }

    /// Fills one placeholder everywhere. The filled text is never searched for other placeholders, whatever a name may
    /// contain.
    ///
    /// # Panics
    /// If the statement has no such placeholder: a bug that every run of this code shows.
    #[must_use]
    pub fn fill(mut self, placeholder: &str, value: &dyn Sql) -> Self {
        let hole = Piece::Hole(placeholder.to_owned());
        assert!(self.0.contains(&hole), "no placeholder {placeholder} in {self:?}");
        let text = value.to_string();
        for piece in &mut self.0 {
            if *piece == hole {
                *piece = Piece::Text(text.clone());
            }
        }
        self
    }

    /// Whether the statement has this placeholder, not yet filled.
    #[must_use]
    pub fn has(&self, placeholder: &str) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Hole(name) if name == placeholder))
    }

    /// The finished text.
    ///
    /// # Panics
    /// If a placeholder was not filled: a bug that every run of this code shows.
    #[must_use]
    pub fn text(&self) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Hole(name) => panic!("placeholder {name} was not filled"),
            })
            .collect()
    }
}

fn is_placeholder(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[cfg(test)]
mod tests {
    use crate::name::{Ident, Statement};

    #[test]
    fn the_header_is_left_out_and_names_are_quoted() {
        let statement = Statement::from_file("-- what\n-- lock: none\nselect '{}', 1 from {t}\n");
        assert_eq!(statement.fill("t", &Ident::new("A b")).text(), "select '{}', 1 from \"A b\"");
    }

    #[test]
    fn a_name_that_looks_like_a_placeholder_is_left_alone() {
        let statement = Statement::from_file("select {b} from {a}");
        let text = statement.fill("a", &Ident::new("{b}")).fill("b", &Ident::new("x")).text();
        assert_eq!(text, "select \"x\" from \"{b}\"");
    }
}
