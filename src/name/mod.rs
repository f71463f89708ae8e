//! Names and texts that quote themselves, and the statements that use them.
//!
//! Nothing else is inserted into SQL: values are bound, and names use these types.

mod statement;

use std::fmt;

pub use statement::Statement;
pub(crate) use statement::sql;

/// A type that may fill a placeholder: it formats itself as safe SQL.
pub trait Sql: fmt::Display {}

/// One identifier, stored as in the catalog, formatted with quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ident(String);

impl Ident {
    /// An identifier exactly as in the catalog (no folding, no truncation).
    pub fn new(name: impl Into<String>) -> Self {
        Ident(name.into())
    }

    /// The bare name, for comparing and for binding as a value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For messages: quoted only if necessary.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut chars = self.0.chars();
        let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$');
        if plain { self.0.clone() } else { self.to_string() }
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl Sql for Ident {}

/// An object's name with its schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QualifiedName {
    /// The schema.
    pub schema: Ident,
    /// The object's own name.
    pub name: Ident,
}

impl QualifiedName {
    /// `schema.name`, both exactly as the catalog stores them.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        QualifiedName { schema: Ident::new(schema), name: Ident::new(name) }
    }

    /// For messages.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}.{}", self.schema.shown(), self.name.shown())
    }

    /// The same name in another schema.
    #[must_use]
    pub fn in_schema(&self, schema: &Ident) -> Self {
        QualifiedName { schema: schema.clone(), name: self.name.clone() }
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl Sql for QualifiedName {}

/// A string constant, for places where SQL accepts no parameter (DDL).
#[derive(Debug, Clone, Copy)]
pub struct Literal<'a>(pub &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.0.replace('\'', "''");
        if quoted.contains('\\') {
            // standard_conforming_strings may be off: the E form has the same meaning with both settings.
            write!(f, "E'{}'", quoted.replace('\\', "\\\\"))
        } else {
            write!(f, "'{quoted}'")
        }
    }
}

impl Sql for Literal<'_> {}

/// SQL text that is already safe: composed of the types above, or printed by the server (`pg_get_indexdef`,
/// `pg_get_expr`, ..), or an expression that the user asked us to evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment(String);

impl Fragment {
    /// Wraps text that the caller knows to be safe, see above.
    pub fn trusted(text: impl Into<String>) -> Self {
        Fragment(text.into())
    }

    /// The items, joined with `separator`.
    pub fn join<T: fmt::Display>(items: impl IntoIterator<Item = T>, separator: &str) -> Self {
        let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
        Fragment(texts.join(separator))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Sql for Fragment {}

/// An object identifier or another number in DDL.
impl Sql for u32 {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_shown_as_a_person_writes_them() {
        assert_eq!(Ident::new("orders").shown(), "orders");
        assert_eq!(Ident::new("Order Items").shown(), "\"Order Items\"");
        assert_eq!(QualifiedName::new("public", "Größe").shown(), "public.\"Größe\"");
    }

    proptest! {
        #[test]
        fn a_quoted_identifier_reads_back_as_itself(name in "[^\0]{1,63}") {
            let sql = Ident::new(name.clone()).to_string();
            let inner = &sql[1..sql.len() - 1];
            prop_assert_eq!(inner.replace("\"\"", "\""), name);
            prop_assert!(!inner.replace("\"\"", "").contains('"'));
        }

        #[test]
        fn a_literal_never_ends_early(text in "[^\0]{0,40}") {
            let sql = Literal(&text).to_string();
            let inner = sql.trim_start_matches('E');
            let inner = &inner[1..inner.len() - 1];
            let unescaped = if sql.starts_with('E') { inner.replace("\\\\", "\\") } else { inner.to_owned() };
            prop_assert_eq!(unescaped.replace("''", "'"), text);
        }
    }
}
