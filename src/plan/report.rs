//! The plan as `plan` says it: for people by `cli/`, for scripts as JSON with stable keys.

use serde::Serialize;

use super::estimate::Estimate;
use super::refusal::Refusal;
use super::risk::{Risk, Rollback};

/// Everything `plan` has to say.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The table.
    pub table: String,
    /// How it will be done; `copy` is the one way there is.
    pub strategy: String,
    /// What was asked for.
    pub actions: Vec<Action>,
    /// What becomes of each column.
    pub columns: Vec<ColumnChange>,
    /// What hangs on the table and what becomes of it.
    pub dependents: Vec<Handled>,
    /// What the swap locks, in this order.
    pub locks: Vec<Lock>,
    /// What stands in the way. Not empty: nothing will be done.
    pub refusals: Vec<Refusal>,
    /// What to know before.
    pub risks: Vec<Risk>,
    /// What it will need.
    pub estimate: Estimate,
    /// Whether going back is lossless.
    pub rollback: Rollback,
    /// The statements that give the shadow its shape, as they will run.
    pub statements: Vec<String>,
    /// Version of the server, as it says it.
    pub server: String,
}

/// One ALTER action.
#[derive(Debug, Clone, Serialize)]
pub struct Action {
    /// As the user wrote it.
    pub sql: String,
    /// Its class.
    pub class: String,
    /// The strongest lock on the table while the application could notice.
    pub lock: String,
    /// Why it is done this way.
    pub reason: String,
}

/// One column's way.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnChange {
    /// Name before; null when it is new.
    pub from: Option<String>,
    /// Name afterwards; null when it is dropped.
    pub to: Option<String>,
    /// What fills it; null when the default or generation expression does.
    pub expression: Option<String>,
}

/// A lock that the swap takes.
#[derive(Debug, Clone, Serialize)]
pub struct Lock {
    /// The relation.
    pub object: String,
    /// Its mode.
    pub mode: String,
}

/// A dependent object and what is done with it.
#[derive(Debug, Clone, Serialize)]
pub struct Handled {
    /// What it is.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub handling: String,
}
