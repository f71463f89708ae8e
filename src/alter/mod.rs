//! The requested change: the text of an `ALTER TABLE`, split into statements that can run in sequence on a table with
//! another name.
//!
//! The server decides what is valid. This module only splits the text, classifies each action, and refuses what
//! pgrecast cannot do ([`refuse`]). Nothing is rewritten: an action keeps its exact text. Relies on the parser of
//! squawk, which accepts the grammar of all supported servers; [`parse`] lists the exceptions.

mod added;
mod classify;
mod index;
mod lock_mode;
mod options;
mod parse;
mod plain_cast;
mod redirect;
mod references;
mod refuse;
mod retarget;
mod set;
mod split;
mod table_ref;

pub use lock_mode::LockMode;
pub use options::{read_assignment, read_condition, read_names};
pub use plain_cast::is_plain_cast;
pub use redirect::{redirect, redirect_all};
pub use retarget::retarget;
pub use table_ref::TableRef;

use crate::name::{Fragment, Ident, QualifiedName};

/// The statements that change the table, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alter {
    /// They run in sequence. Empty: the table is only rebuilt.
    pub statements: Vec<AlterStatement>,
}

impl Alter {
    /// No change of shape: the table is only rewritten.
    #[must_use]
    pub fn rebuild() -> Self {
        Alter { statements: Vec::new() }
    }

    /// All actions, in order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.statements.iter().flat_map(|statement| &statement.actions)
    }
}

/// One `ALTER TABLE`: either exactly one rename, which PostgreSQL does not combine with others, or any other actions.
/// Or a CREATE INDEX or DROP INDEX statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterStatement {
    /// Never empty.
    pub actions: Vec<Action>,
}

impl AlterStatement {
    /// The statement for the table of this name.
    #[must_use]
    pub fn sql(&self, table: &QualifiedName) -> Fragment {
        if let Some(index) = self.as_index(table) {
            return index;
        }
        let actions: Vec<&str> = self.actions.iter().map(|action| action.text.as_str()).collect();
        Fragment::trusted(format!("alter table {table} {}", actions.join(", ")))
    }

    /// The columns that change their type with a USING expression, and the text of that expression. It uses the names
    /// of the columns before this statement, after all statements before it.
    pub fn usings(&self) -> impl Iterator<Item = (&Ident, &str)> {
        self.actions.iter().filter_map(|action| match &action.kind {
            ActionKind::SetType { column, using: Some(using) } => Some((column, using.as_str())),
            _ => None,
        })
    }
}

/// One action of an `ALTER TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The user's text: without comments before and after it, with those inside. Never ends inside a line comment, so
    /// anything can follow it.
    pub text: String,
    /// What it does.
    pub kind: ActionKind,
    /// The lock that the server acquires on the table for it.
    pub lock: LockMode,
}

/// What an action does, as far as it matters before the server has checked it. All names are in the form of the
/// catalog. `CASCADE` does not occur: it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionKind {
    /// `ADD COLUMN`, also with `IF NOT EXISTS`.
    AddColumn {
        /// The new column.
        name: Ident,
    },
    /// `DROP COLUMN`, also with `IF EXISTS`.
    DropColumn {
        /// The column.
        name: Ident,
    },
    /// `ALTER COLUMN .. TYPE`.
    SetType {
        /// The column.
        column: Ident,
        /// The exact text of the expression after `USING`.
        using: Option<String>,
    },
    /// Every other `ALTER COLUMN`.
    AlterColumn {
        /// The column.
        column: Ident,
    },
    /// `RENAME COLUMN`, alone in its statement.
    RenameColumn {
        /// Its name until now.
        from: Ident,
        /// Its name from now on.
        to: Ident,
    },
    /// `RENAME CONSTRAINT`, alone in its statement.
    RenameConstraint {
        /// Its name until now.
        from: Ident,
        /// Its name from now on.
        to: Ident,
    },
    /// `ADD` of a table constraint.
    AddConstraint {
        /// Its name, if the user gave one.
        name: Option<Ident>,
        /// The index of `USING INDEX`: an object of the table that the user altered.
        using_index: Option<Ident>,
    },
    /// `DROP CONSTRAINT`, also with `IF EXISTS`.
    DropConstraint {
        /// The constraint.
        name: Ident,
    },
    /// `ALTER CONSTRAINT` or `VALIDATE CONSTRAINT`.
    AlterConstraint {
        /// The constraint.
        name: Ident,
    },
    /// `ENABLE` or `DISABLE ROW LEVEL SECURITY`.
    RowSecurity {
        /// Whether it is enabled.
        enabled: bool,
    },
    /// `NO FORCE ROW LEVEL SECURITY`. (`FORCE` is refused.)
    NoForceRowSecurity,
    /// `ENABLE` or `DISABLE TRIGGER` in any form. It fails if a trigger does not exist on the table yet; `ALL` and
    /// `USER` also affect triggers that exist for another purpose.
    Trigger,
    /// `CLUSTER ON` or `REPLICA IDENTITY USING INDEX`: needs an index of this name.
    UseIndex {
        /// The index.
        index: Ident,
    },
    /// A whole `CREATE INDEX`, alone in its statement.
    CreateIndex {
        /// Its name, if the user gave one.
        name: Option<Ident>,
    },
    /// A whole `DROP INDEX` of one index, alone in its statement.
    DropIndex {
        /// The index, as written.
        index: TableRef,
        /// Whether it need not exist.
        if_exists: bool,
    },
    /// An action that is only possible on the table itself.
    InPlaceOnly {
        /// Why.
        why: &'static str,
        /// `RENAME TO` or `SET SCHEMA`, alone in its statement.
        is_name: bool,
    },
    /// All others, handled by the server: storage parameters, tablespace, access method, `LOGGED`, ..
    Other,
}

impl ActionKind {
    /// Whether it renames a column or constraint.
    #[must_use]
    pub fn is_rename(&self) -> bool {
        matches!(self, ActionKind::RenameColumn { .. } | ActionKind::RenameConstraint { .. })
    }

    /// Whether existing values are lost if it is performed on the table itself.
    #[must_use]
    pub fn destroys_values(&self) -> bool {
        matches!(self, ActionKind::DropColumn { .. })
    }

    /// Whether this is a statement about an index.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(self, ActionKind::CreateIndex { .. } | ActionKind::DropIndex { .. })
    }

    /// Whether PostgreSQL only accepts this action alone in a statement.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.is_rename() || self.is_index() || matches!(self, ActionKind::InPlaceOnly { is_name: true, .. })
    }
}

#[cfg(test)]
mod tests;
