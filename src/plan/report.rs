//! The plan as `plan` says it: for people by `cli/`, for scripts as JSON with stable keys.

use serde::Serialize;

use super::class::Cost;
use super::estimate::Estimate;
use super::layout::Layout;
use super::refusal::Refusal;
use super::risk::{Risk, Rollback};

/// Everything `plan` has to say.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The table.
    pub table: String,
    /// How it will be done: the dearest class of its actions.
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
    /// What a row takes in which order of its columns; null where rows stay as they are.
    pub layout: Option<Layout>,
    /// Whether going back is lossless.
    pub rollback: Rollback,
    /// The steps on the table itself; empty for a copy.
    pub steps: Vec<StepShown>,
    /// What is run: on the table, or on its shadow to give that its shape.
    pub statements: Vec<String>,
    /// Version of the server, as it says it.
    pub server: String,
}

/// One ALTER action.
#[derive(Debug, Clone, Serialize)]
pub struct Action {
    /// As the user wrote it.
    pub sql: String,
    /// Its class: `instant`, `staged` or `copy`.
    pub class: String,
    /// The strongest lock that pgrecast takes on the table for it.
    pub lock: String,
    /// What PostgreSQL would do if it were run as it stands; null where that cannot be told for it alone.
    pub as_it_stands: Option<AsItStands>,
    /// Why it is done this way.
    pub reason: String,
}

/// An action run as it stands.
#[derive(Debug, Clone, Serialize)]
pub struct AsItStands {
    /// Its lock on the table.
    pub lock: String,
    /// What it does to the rows under it.
    #[serde(flatten)]
    pub cost: Cost,
}

/// A step of a change that needs no copy.
#[derive(Debug, Clone, Serialize)]
pub struct StepShown {
    /// The lock on the table.
    pub lock: String,
    /// Other tables locked with it.
    pub tables: Vec<String>,
    /// Whether the lock is held for a moment only; else it blocks neither readers nor writers.
    pub is_short: bool,
    /// What is run.
    pub statements: Vec<String>,
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
