//! The lock that PostgreSQL acquires on the table for an action.
//! <https://www.postgresql.org/docs/current/sql-altertable.html>, and `AlterTableGetLockLevel` of its source.

use squawk_syntax::ast::{self, AlterColumnOption, AlterTableAction as A, AstNode, Constraint};

use super::table_ref::ident;

/// A lock mode, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// Blocks neither readers nor writers: for VALIDATE CONSTRAINT and CREATE INDEX CONCURRENTLY.
    ShareUpdateExclusive,
    /// Blocks writers, not readers: for CREATE TRIGGER.
    ShareRowExclusive,
    /// Blocks everybody.
    AccessExclusive,
}

impl LockMode {
    /// The name in the manual.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LockMode::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            LockMode::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            LockMode::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// The inverse of [`LockMode::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ShareUpdateExclusive, Self::ShareRowExclusive, Self::AccessExclusive]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// The mode in which the action locks its table.
pub(super) fn of(action: &A) -> LockMode {
    use LockMode::{AccessExclusive, ShareRowExclusive, ShareUpdateExclusive};
    match action {
        A::ValidateConstraint(_) | A::ClusterOn(_) | A::SetWithoutCluster(_) | A::AttachPartition(_) => {
            ShareUpdateExclusive
        }
        A::EnableTrigger(_)
        | A::DisableTrigger(_)
        | A::EnableAlwaysTrigger(_)
        | A::EnableReplicaTrigger(_) => ShareRowExclusive,
        A::AddConstraint(add) if matches!(add.constraint(), Some(Constraint::ForeignKeyConstraint(_))) => {
            ShareRowExclusive
        }
        A::AlterColumn(alter) => match alter.option() {
            Some(
                AlterColumnOption::SetStatistics(_)
                | AlterColumnOption::SetOptions(_)
                | AlterColumnOption::ResetOptions(_),
            ) => ShareUpdateExclusive,
            _ => AccessExclusive,
        },
        // Of all storage parameters, only this one affects what other sessions read.
        A::SetOptions(_) | A::ResetOptions(_) => {
            let names = action.syntax().descendants().filter_map(ast::AttributeName::cast);
            let decides = |name: ast::AttributeName| ident(name.syntax()).as_str() == "user_catalog_table";
            if names.into_iter().any(decides) { AccessExclusive } else { ShareUpdateExclusive }
        }
        _ => AccessExclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Alter;
    use super::*;

    #[test]
    fn each_action_has_the_mode_of_the_manual() {
        for (text, mode) in [
            ("add a int", LockMode::AccessExclusive),
            ("alter a set statistics 100", LockMode::ShareUpdateExclusive),
            ("alter a set (n_distinct = 5)", LockMode::ShareUpdateExclusive),
            ("alter a set storage external", LockMode::AccessExclusive),
            ("set (fillfactor = 70, toast.autovacuum_enabled = off)", LockMode::ShareUpdateExclusive),
            ("set (user_catalog_table = true)", LockMode::AccessExclusive),
            ("reset (fillfactor)", LockMode::ShareUpdateExclusive),
            ("disable trigger t", LockMode::ShareRowExclusive),
            ("add foreign key (a) references b not valid", LockMode::ShareRowExclusive),
            ("add constraint c check (a > 0) not valid", LockMode::AccessExclusive),
            ("validate constraint c", LockMode::ShareUpdateExclusive),
            ("cluster on i", LockMode::ShareUpdateExclusive),
            ("enable row level security", LockMode::AccessExclusive),
        ] {
            let alter = Alter::from_actions(&[text.to_owned()]).unwrap();
            assert_eq!(alter.statements[0].actions[0].lock, mode, "{text}");
            assert_eq!(LockMode::parse(mode.as_str()), Some(mode));
        }
    }
}
