//! Refusals: what pgrecast does not do. Each is reported by name before anything is changed.

use serde::Serialize;

use crate::alter::{Action, ActionKind};
use crate::catalog::{Attached, Definition, Manager, Missing, Persistence};
use crate::error::Error;
use crate::name::QualifiedName;

pub use crate::error::Code;

/// A reason to refuse the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// A stable code for scripts.
    pub code: Code,
    /// The object that prevents the change.
    pub object: String,
    /// Why it prevents the change.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: Code, object: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { code, object: object.into(), message: message.into(), hint: None }
    }

    /// The refusal that an error describes, about the table if the error names no other object. None for an error of
    /// another kind.
    #[must_use]
    pub fn of_error(error: &Error, table: &QualifiedName) -> Option<Self> {
        let message = error.summary();
        let object = error.object.clone().unwrap_or_else(|| table.shown());
        Some(Refusal { code: error.code?, object, message, hint: error.hint.clone() })
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Refuses everything that is not an ordinary table.
#[must_use]
pub fn of_relation(original: &Definition) -> Option<Refusal> {
    let table = &original.table;
    let is_heap = table.access_method.as_ref().is_none_or(|am| am.as_str() == "heap");
    let (code, message) = match table.kind.as_str() {
        "r" if table.is_system => (Code::SystemTable, "it is a system table of the server"),
        "r" if table.persistence == Persistence::Temporary => (
            Code::TemporaryTable,
            "it is a temporary table: only the session that created it can see its rows",
        ),
        "r" if table.is_partition => (Code::Partition, "it is a partition of another table"),
        "r" if table.is_typed => (Code::TypedTable, "it was created OF a type"),
        "r" if !is_heap => {
            (Code::AccessMethod, "its access method is not heap, and the copy reads heap blocks by range")
        }
        "r" => return None,
        "v" => (Code::View, "it is a view, not a table"),
        "m" => (Code::View, "it is a materialized view, not a table"),
        "f" => (Code::ForeignTable, "it is a foreign table: its rows are on another server"),
        "p" => (Code::PartitionedTable, "it is a partitioned table"),
        "i" | "I" => (Code::NotATable, "it is an index, not a table"),
        "S" => (Code::NotATable, "it is a sequence, not a table"),
        _ => (Code::NotATable, "it is not an ordinary table"),
    };
    Some(Refusal::new(code, table.name.shown(), message))
}

/// Refusal of a table that an extension manages.
#[must_use]
pub fn of_manager(original: &Definition, manager: Manager) -> Refusal {
    let (code, message, hint) = match manager {
        Manager::Citus => (
            Code::Distributed,
            "Citus has distributed it: its rows are on other nodes",
            "Use the functions of Citus, such as alter_distributed_table.",
        ),
        Manager::Timescale => (
            Code::Hypertable,
            "it is a hypertable of TimescaleDB: its rows are in chunks",
            "Change it with the functions of TimescaleDB.",
        ),
    };
    Refusal::new(code, original.table.name.shown(), message).hint(hint)
}

/// Refusals for missing rights.
#[must_use]
pub fn of_rights(original: &Definition, missing: &[Missing]) -> Vec<Refusal> {
    let name = original.table.name.shown();
    let refuse = |right: &Missing| {
        Refusal::new(Code::Privilege, &name, right.what.clone()).hint(format!("Run: {}", right.remedy))
    };
    missing.iter().map(refuse).collect()
}

/// Refusals for actions that a copy cannot perform.
pub fn of_actions<'a>(
    original: &Definition,
    actions: impl Iterator<Item = &'a Action>,
) -> impl Iterator<Item = Refusal> {
    let name = original.table.name.shown();
    actions.filter_map(move |action| match action.kind {
        ActionKind::InPlaceOnly { why, .. } => {
            let message = format!("the change needs a copy, and a copy cannot {}: {why}", action.text);
            let refusal = Refusal::new(Code::InPlaceOnly, &name, message);
            Some(refusal.hint("Run this action separately, before or after the change."))
        }
        _ => None,
    })
}

/// Everything in the original that prevents a copy.
#[must_use]
pub fn of_table(original: &Definition, attached: &[Attached]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let name = original.table.name.shown();
    for object in attached {
        refusals.push(of_attached(object));
    }
    if original.table.forces_row_security && !original.table.owner_bypasses_row_security {
        let owner = &original.table.owner;
        refusals.push(
            Refusal::new(
                Code::RowSecurity,
                &name,
                format!(
                    "row-level security is forced on its owner {}, who would copy only the rows that the \
                     policies show",
                    owner.shown()
                ),
            )
            .hint(format!("Run: alter role {owner} bypassrls;")),
        );
    }
    for key in original.foreign_keys.iter().filter(|key| key.is_period) {
        let object = format!("{}.{}", key.child.shown(), key.name.shown());
        let message = "a foreign key with PERIOD is not carried over";
        refusals.push(
            Refusal::new(Code::TemporalKey, object, message)
                .hint("Drop it first, and create it again after the swap."),
        );
    }
    for index in original.indexes.iter().filter(|index| !index.is_valid) {
        refusals.push(
            Refusal::new(Code::InvalidIndex, index.name.shown(), "the index is invalid: its build failed")
                .hint(format!("Run: drop index {}; (or reindex it)", index.name)),
        );
    }
    for object in original.statistics.iter().filter(|object| object.owner != original.table.owner) {
        refusals.push(Refusal::new(
            Code::StatisticsOwner,
            object.name.shown(),
            format!("it belongs to role {}, not to the owner of the table", object.owner.shown()),
        ));
    }
    refusals
}

fn of_attached(object: &Attached) -> Refusal {
    let (code, message) = match object.kind.as_str() {
        "publication" => (
            Code::Publication,
            "it publishes all tables: it would also publish pgrecast's shadow and log, which subscribers do not have",
        ),
        "subscription" => (
            Code::Subscription,
            "logical replication fills the table, and would skip the new table without an error",
        ),
        "type" => (Code::Type, "it uses the table's row type"),
        "relation" => (Code::Relation, "it uses the table's row type"),
        "constant" => {
            (Code::Constant, "it names the table by a constant, which would still name the former table")
        }
        "inheritance" => (Code::Inheritance, "the table is part of an inheritance tree"),
        "extension" => (Code::Extension, "an extension owns the table"),
        "extension dependency" => (Code::ExtensionDependency, "DEPENDS ON EXTENSION is not carried over"),
        "security label" => {
            (Code::SecurityLabel, "the table has a security label, which is not carried over")
        }
        "grant" => (Code::Grant, "a role other than the owner granted a privilege"),
        _ => (Code::Object, "it depends on the table in a way that pgrecast does not know"),
    };
    let hint = match code {
        Code::Publication => {
            "Create a publication of the tables by name or by schema, and use that one in the subscriptions."
        }
        Code::Constant => "Drop it first, and create it again after the swap.",
        Code::Grant => "Revoke it and let the owner grant it.",
        _ => "Detach it from the table first.",
    };
    Refusal::new(code, object.name.clone(), message).hint(hint)
}
