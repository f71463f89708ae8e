//! Tables that an action references by a foreign key. Their names are found by tokens: REFERENCES is a reserved word,
//! so it has no other meaning.

use std::ops::Range;

use squawk_syntax::{SourceFile, SyntaxElement, SyntaxKind, SyntaxToken};

use super::retarget::qualified;
use super::table_ref::ident_of_word;
use super::{Action, AlterStatement, TableRef};
use crate::name::{Fragment, QualifiedName};

impl Action {
    /// The tables that it references, and the positions of their names in its text.
    #[must_use]
    pub fn references(&self) -> Vec<(Range<usize>, TableRef)> {
        const BEFORE: &str = "alter table x ";
        let tokens: Vec<SyntaxToken> = SourceFile::parse(&format!("{BEFORE}{}", self.text))
            .syntax_node()
            .descendants_with_tokens()
            .filter_map(SyntaxElement::into_token)
            .filter(|token| !token.kind().is_trivia())
            .collect();
        let mut found = Vec::new();
        for (n, _) in tokens.iter().enumerate().filter(|(_, t)| t.kind() == SyntaxKind::REFERENCES_KW) {
            let parts = qualified(&tokens[n + 1..]);
            let names: Vec<_> = parts.iter().map(|part| ident_of_word(part.text())).collect();
            let table = match names.as_slice() {
                [name] => TableRef { schema: None, name: name.clone() },
                [schema, name] => TableRef { schema: Some(schema.clone()), name: name.clone() },
                _ => continue,
            };
            let start = usize::from(parts[0].text_range().start()) - BEFORE.len();
            let end = usize::from(parts[parts.len() - 1].text_range().end()) - BEFORE.len();
            found.push((start..end, table));
        }
        found
    }
}

impl AlterStatement {
    /// The statement for the table of this name, with the referenced tables replaced by others.
    #[must_use]
    pub fn sql_with(
        &self,
        table: &QualifiedName,
        parent: impl Fn(&TableRef) -> Option<QualifiedName>,
    ) -> Fragment {
        let mut statement = self.clone();
        for action in &mut statement.actions {
            for (range, written) in action.references().into_iter().rev() {
                if let Some(other) = parent(&written) {
                    action.text.replace_range(range, &other.to_string());
                }
            }
        }
        statement.sql(table)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Alter;
    use super::*;

    fn replaced(text: &str) -> String {
        let alter = Alter::from_actions(&[text.to_owned()]).unwrap();
        let to = |written: &TableRef| {
            (written.name.as_str() != "kept").then(|| QualifiedName::new("s", written.name.as_str()))
        };
        alter.statements[0].sql_with(&QualifiedName::new("p", "t"), to).to_string()
    }

    #[test]
    fn every_table_behind_references_is_replaced_and_nothing_else() {
        for (text, expected) in [
            ("add x int references p", "add x int references \"s\".\"p\""),
            (
                "add constraint c foreign key (a, b) references \"Q\".\"p q\" (c, d) on delete cascade",
                "add constraint c foreign key (a, b) references \"s\".\"p q\" (c, d) on delete cascade",
            ),
            (
                "add x int references app.p(id) default 'a'::text references kept, add y int references /* z */ q",
                "add x int references \"s\".\"p\"(id) default 'a'::text references kept, add y int references /* z */ \
                 \"s\".\"q\"",
            ),
            ("add x text default 'references p'", "add x text default 'references p'"),
        ] {
            assert_eq!(replaced(text), format!("alter table \"p\".\"t\" {expected}"));
        }
    }
}
