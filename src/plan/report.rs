//! The output of `plan`: `cli/` prints it as text, and scripts read it as JSON with stable keys.

use serde::Serialize;

use super::class::Cost;
use super::estimate::Estimate;
use super::layout::Layout;
use super::refusal::Refusal;
use super::risk::{Risk, Rollback};

/// Everything that `plan` reports.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The table.
    pub table: String,
    /// The strategy: the most expensive class of its actions.
    pub strategy: String,
    /// The requested actions.
    pub actions: Vec<Action>,
    /// How each column changes.
    pub columns: Vec<ColumnChange>,
    /// The objects attached to the table, and how each is carried over.
    pub dependents: Vec<Handled>,
    /// The locks of the swap, in order.
    pub locks: Vec<Lock>,
    /// Reasons to refuse the change. If there is one, nothing is done.
    pub refusals: Vec<Refusal>,
    /// The risks of the change.
    pub risks: Vec<Risk>,
    /// The resources that it needs.
    pub estimate: Estimate,
    /// The size of a row for different orders of its columns; null if rows are not copied.
    pub layout: Option<Layout>,
    /// Whether a rollback is lossless.
    pub rollback: Rollback,
    /// The steps on the table itself; empty for a copy.
    pub steps: Vec<StepShown>,
    /// The statements that run on the table, or on its shadow to give it the new shape.
    pub statements: Vec<String>,
    /// The version that the server reports.
    pub server: String,
}

/// One ALTER action.
#[derive(Debug, Clone, Serialize)]
pub struct Action {
    /// As the user wrote it.
    pub sql: String,
    /// Its class: `instant`, `staged` or `copy`.
    pub class: String,
    /// The strongest lock that pgrecast acquires on the table for it.
    pub lock: String,
    /// What PostgreSQL would do if it ran the action directly; null if that is not known for the action alone.
    pub as_it_stands: Option<AsItStands>,
    /// The reason for the class.
    pub reason: String,
}

/// An action that PostgreSQL runs directly.
#[derive(Debug, Clone, Serialize)]
pub struct AsItStands {
    /// Its lock on the table.
    pub lock: String,
    /// What it does to the rows under that lock.
    #[serde(flatten)]
    pub cost: Cost,
}

/// A step of a change without a copy.
#[derive(Debug, Clone, Serialize)]
pub struct StepShown {
    /// The lock on the table.
    pub lock: String,
    /// Other tables locked with it.
    pub tables: Vec<String>,
    /// Whether the lock is held only for a moment; otherwise it blocks neither readers nor writers.
    pub is_short: bool,
    /// Its statements.
    pub statements: Vec<String>,
}

/// How one column changes.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnChange {
    /// Name before; null if it is new.
    pub from: Option<String>,
    /// Name afterwards; null if it is dropped.
    pub to: Option<String>,
    /// The expression that fills it; null if its default or generation expression does.
    pub expression: Option<String>,
}

/// A lock of the swap.
#[derive(Debug, Clone, Serialize)]
pub struct Lock {
    /// The relation.
    pub object: String,
    /// Its mode.
    pub mode: String,
}

/// A dependent object and how it is carried over.
#[derive(Debug, Clone, Serialize)]
pub struct Handled {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How it is carried over.
    pub handling: String,
}
