//! What we do not do, said by name before anything is changed.

use serde::Serialize;

use crate::alter::{Action, ActionKind};
use crate::catalog::{Attached, Definition, Missing, Persistence};

/// A reason not to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// A stable word for scripts.
    pub code: String,
    /// The object that is in the way.
    pub object: String,
    /// Why it is.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: &str, object: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { code: code.into(), object: object.into(), message: message.into(), hint: None }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Whether this is an ordinary table at all.
#[must_use]
pub fn of_relation(original: &Definition) -> Option<Refusal> {
    let table = &original.table;
    let refuse = |message: &str| Some(Refusal::new("not-a-table", table.name.shown(), message));
    match table.kind.as_str() {
        "r" if table.is_system => refuse("it is a table of the server's own"),
        "r" if table.persistence == Persistence::Temporary => {
            refuse("it is a temporary table, seen by its own session only")
        }
        "r" if table.is_partition => refuse("it is a partition of another table"),
        "r" if table.is_typed => refuse("it was created OF a type"),
        "r" if table.access_method.as_ref().is_some_and(|am| am.as_str() != "heap") => {
            refuse("its access method is not heap, whose blocks the copy reads by range")
        }
        "r" => None,
        "v" => refuse("it is a view, not a table"),
        "m" => refuse("it is a materialized view, not a table"),
        "f" => refuse("it is a foreign table: its rows are elsewhere"),
        "p" => refuse("it is a partitioned table"),
        "i" | "I" => refuse("it is an index, not a table"),
        "S" => refuse("it is a sequence, not a table"),
        _ => refuse("it is not an ordinary table"),
    }
}

/// The rights that are missing.
#[must_use]
pub fn of_rights(original: &Definition, missing: &[Missing]) -> Vec<Refusal> {
    let name = original.table.name.shown();
    let refuse = |right: &Missing| {
        Refusal::new("privilege", &name, right.what.clone()).hint(format!("Run: {}", right.remedy))
    };
    missing.iter().map(refuse).collect()
}

/// Of actions that a copy can not do.
pub fn of_actions<'a>(
    original: &Definition,
    actions: impl Iterator<Item = &'a Action>,
) -> impl Iterator<Item = Refusal> {
    let name = original.table.name.shown();
    actions.filter_map(move |action| match action.kind {
        ActionKind::InPlaceOnly { why, .. } => {
            let message = format!("the change needs a copy, which can not {}: {why}", action.text);
            let refusal = Refusal::new("in-place-only", &name, message);
            Some(refusal.hint("Run it by itself, before or after the change."))
        }
        _ => None,
    })
}

/// Everything about the original that stands in the way of a copy.
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
                "row-security",
                &name,
                format!(
                    "row-level security is forced on its owner {} too, who would copy only the rows that the \
                     policies show",
                    owner.shown()
                ),
            )
            .hint(format!("Run: alter role {owner} bypassrls;")),
        );
    }
    for index in original.indexes.iter().filter(|index| !index.is_valid) {
        refusals.push(
            Refusal::new("invalid-index", index.name.shown(), "it is invalid, left over by a failed build")
                .hint(format!("Run: drop index {}; (or reindex it)", index.name)),
        );
    }
    for object in original.statistics.iter().filter(|object| object.owner != original.table.owner) {
        refusals.push(Refusal::new(
            "statistics-owner",
            object.name.shown(),
            format!("it belongs to role {}, not to the table's owner", object.owner.shown()),
        ));
    }
    refusals
}

fn of_attached(object: &Attached) -> Refusal {
    let message = match object.kind.as_str() {
        "publication" => {
            "it publishes all tables: subscribers would get the shadow and our log too, tables that they do not have"
        }
        "subscription" => {
            "the table is filled by logical replication, which would go on skipping it in silence"
        }
        "type" | "relation" => "it uses the table's row type",
        "inheritance" => "the table is part of an inheritance tree",
        "extension" => "an extension owns the table",
        "extension dependency" => "DEPENDS ON EXTENSION is not carried over",
        "security label" => "a security label is set on the table",
        "grant" => "a privilege was granted by another role than the owner",
        _ => "it depends on the table in a way that is not known here",
    };
    let code = object.kind.replace(' ', "-");
    let hint = match object.kind.as_str() {
        "publication" => {
            "Make a publication of the tables by name or by schema, and let the subscriptions use that one."
        }
        "grant" => "Revoke it and let the owner grant it.",
        _ => "Detach it from the table first.",
    };
    Refusal::new(&code, object.name.clone(), message).hint(hint)
}
