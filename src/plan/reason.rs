//! The reason for the strategy of an action, in one sentence.

use super::class::{Class, Cost};
use crate::alter::{Action, ActionKind};

/// The sentence. `tried`: the class of the action, its cost for the rows, and what else prevents it on the table
/// itself; none if the action was not tried alone.
#[must_use]
pub fn of(action: &Action, tried: Option<(Class, Cost, Option<&str>)>) -> String {
    let Some((class, cost, obstacle)) = tried else {
        return "needs a shadow table, which replaces the table".into();
    };
    let lock = action.lock.as_str();
    if let (ActionKind::DropIndex { .. }, Class::Staged) = (&action.kind, class) {
        return "dropped CONCURRENTLY: waits for statements that use it, blocks none".into();
    }
    let as_it_stands = match (cost.rewrites, cost.reads_rows) {
        (true, _) => format!("PostgreSQL would rewrite all rows under {lock}"),
        (false, true) => format!("PostgreSQL would read all rows under {lock}"),
        (false, false) => "changes only the catalog, at any size of the table".into(),
    };
    match (class, obstacle) {
        (Class::Instant, _) if action.kind.destroys_values() => format!(
            "{as_it_stands}, but the values are lost at once: a shadow table keeps them until cleanup, --strategy in-place \
             does not"
        ),
        (Class::Instant, _) => as_it_stands,
        (Class::Staged, _) => {
            format!("{as_it_stands}; in steps the application can read and write meanwhile")
        }
        (Class::Copy, Some(obstacle)) => {
            format!("PostgreSQL refuses it on the table itself because of {obstacle}: needs a shadow table")
        }
        (Class::Copy, None) if cost.is_none() => {
            format!("{as_it_stands}; done on the shadow table with the other actions")
        }
        (Class::Copy, None) => format!("{as_it_stands}: needs a shadow table, which replaces the table"),
    }
}
