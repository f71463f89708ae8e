//! Converts names in the user's SQL to names in the catalog.
//! <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>

use std::fmt;

use squawk_syntax::{
    SyntaxNode,
    ast::{self, AstNode},
};

use super::parse;
use crate::{
    error::{Error, Result},
    name::Ident,
};

/// A table as written by the user: `orders`, `public.orders`, `"Order Items"`. Unquoted names are folded
/// to lower case; without a schema the server's `search_path` decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRef {
    /// The schema, if it was written.
    pub schema: Option<Ident>,
    /// The table's own name.
    pub name: Ident,
}

impl TableRef {
    /// Parses a table name from the command line. Anything else is a usage error.
    pub fn parse(text: &str) -> Result<Self> {
        let written = text.trim();
        parse::source("alter table ", written, "the table's name")
            .ok()
            .and_then(|file| file.syntax().descendants().find_map(ast::TableNameRef::cast))
            // Nothing else: no ONLY, no action, no comment, no second statement.
            .filter(|node| parse::text_of(node.syntax()) == written)
            .and_then(|node| Self::of(&node))
            .ok_or_else(|| {
                Error::usage(format!("not the name of a table: {text}")).hint(
                    "Write it as in SQL: orders, public.orders or '\"Order Items\"' \
                     (quoted if it is a key word or not in lower case).",
                )
            })
    }

    /// The table in the statement; none if its name includes a database.
    pub(super) fn of(node: &ast::TableNameRef) -> Option<Self> {
        let mut parts = node.syntax().descendants().filter_map(ast::PathSegmentRef::cast);
        let mut part = || parts.next().map(|part| ident(part.syntax()));
        match (part()?, part(), part()) {
            (name, None, None) => Some(TableRef { schema: None, name }),
            (schema, Some(name), None) => Some(TableRef { schema: Some(schema), name }),
            _ => None,
        }
    }
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", schema.shown())?;
        }
        f.write_str(&self.name.shown())
    }
}

/// The name of a syntax node.
pub(super) fn ident(node: &SyntaxNode) -> Ident {
    // A name is a path of one part in some places and bare in others; its token is in the innermost node.
    let innermost = node.descendants().last().unwrap_or_else(|| node.clone());
    Ident::new(truncated(ast::normalize_name_node(&innermost)))
}

/// The name of a word, quoted or not. (`U&"..."` is not supported: the server never prints it.)
pub(super) fn ident_of_word(word: &str) -> Ident {
    let quoted = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let name = quoted.map_or_else(|| word.to_ascii_lowercase(), |inner| inner.replace("\"\"", "\""));
    Ident::new(truncated(name))
}

/// The server truncates longer names to 63 bytes (`NAMEDATALEN`), at the end of a character, with a notice.
fn truncated(mut name: String) -> String {
    if name.len() > 63 {
        name.truncate(name.floor_char_boundary(63));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn parts(text: &str) -> (Option<String>, String) {
        let table = TableRef::parse(text).unwrap();
        (table.schema.map(|schema| schema.as_str().to_owned()), table.name.as_str().to_owned())
    }

    #[test]
    fn names_are_folded_as_postgresql_folds_them() {
        assert_eq!(parts("orders"), (None, "orders".into()));
        assert_eq!(parts(" Public.Orders "), (Some("public".into()), "orders".into()));
        assert_eq!(parts("\"Order Items\""), (None, "Order Items".into()));
        assert_eq!(parts("\"S.x\" . \"a\"\"b\""), (Some("S.x".into()), "a\"b".into()));
        assert_eq!(parts("ÄRGER"), (None, "ÄrgER".to_ascii_lowercase()));
        assert_eq!(parts("u&\"\\0041b\""), (None, "Ab".into()));
        assert_eq!(parts("value"), (None, "value".into()));
    }

    #[test]
    fn long_names_are_cut_as_the_server_cuts_them() {
        assert_eq!(parts(&"x".repeat(70)).1, "x".repeat(63));
        assert_eq!(parts(&format!("{}ää", "x".repeat(62))).1, "x".repeat(62));
    }

    #[test]
    fn anything_but_a_table_is_a_usage_error() {
        let not_a_table = [
            "",
            " ",
            "Order Items",
            "user",
            "a.b.c",
            "only a",
            "a *",
            "a, b",
            "a;",
            "a; drop table b",
            "a -- x",
            "a add b int",
            "if exists a",
            "\"\"",
            "\"a",
            "1a",
            "'a'",
            "a.",
            ".a",
            "all in tablespace x",
        ];
        for text in not_a_table {
            let error = TableRef::parse(text).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{text}");
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn it_is_shown_as_a_person_writes_it() {
        assert_eq!(TableRef::parse("public.\"Order Items\"").unwrap().to_string(), "public.\"Order Items\"");
    }
}
