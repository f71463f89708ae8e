//! Columns that one statement adds and alters.

use super::{ActionKind, AlterStatement};
use crate::name::Ident;

impl AlterStatement {
    /// This statement without actions on columns that it adds itself; none if there are no such actions. Existing rows
    /// get the value with which a column is added. A later change of its default in the same statement only affects new
    /// rows.
    #[must_use]
    pub fn as_added(&self) -> Option<AlterStatement> {
        let adds = |column: &Ident| {
            self.actions.iter().any(|a| matches!(&a.kind, ActionKind::AddColumn { name } if name == column))
        };
        let mut actions = self.actions.clone();
        actions.retain(|a| !matches!(&a.kind, ActionKind::AlterColumn { column } if adds(column)));
        (actions.len() < self.actions.len()).then_some(AlterStatement { actions })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Alter;

    fn as_added(text: &str) -> Option<String> {
        let alter = Alter::from_actions(&[text.to_owned()]).unwrap();
        let texts = |s: super::AlterStatement| s.actions.iter().map(|a| a.text.clone()).collect::<Vec<_>>();
        alter.statements[0].as_added().map(|statement| texts(statement).join(", "))
    }

    #[test]
    fn what_a_statement_does_to_its_own_columns_is_left_out() {
        let text = "add x int default 1, alter x set default 2, alter y drop default";
        assert_eq!(as_added(text).as_deref(), Some("add x int default 1, alter y drop default"));
    }

    #[test]
    fn a_statement_that_leaves_its_own_columns_alone_is_whole() {
        assert_eq!(as_added("add x int default 1, alter y set default 2"), None);
        assert_eq!(as_added("add x int, add constraint c check (x > 0)"), None);
    }
}
