//! Why an action is done the way it is, in one sentence.

use super::class::{Class, Cost};
use crate::alter::{Action, ActionKind};

/// The sentence. `tried`: its class, what it would do to the rows as it stands, and what else is in the way; none if
/// nothing is known of it alone.
#[must_use]
pub fn of(action: &Action, tried: Option<(Class, Cost, Option<&str>)>) -> String {
    let Some((class, cost, obstacle)) = tried else {
        return "done on a shadow table that takes the table's place".into();
    };
    let lock = action.lock.as_str();
    if let (ActionKind::DropIndex { .. }, Class::Staged) = (&action.kind, class) {
        return "dropped CONCURRENTLY: after the statements that use it, blocking none".into();
    }
    let as_it_stands = match (cost.rewrites, cost.reads_rows) {
        (true, _) => format!("as it stands PostgreSQL would write all rows anew under {lock}"),
        (false, true) => format!("as it stands PostgreSQL would read all rows under {lock}"),
        (false, false) => "it changes the catalog alone, whatever the size of the table".into(),
    };
    match (class, obstacle) {
        (Class::Instant, _) if action.kind.destroys_values() => format!(
            "{as_it_stands}, but the values are gone at once: a shadow table keeps them until cleanup, --strategy in-place \
             does not"
        ),
        (Class::Instant, _) => as_it_stands,
        (Class::Staged, _) => {
            format!("{as_it_stands}; in steps it reads them while the application reads and writes")
        }
        (Class::Copy, Some(obstacle)) => {
            format!(
                "PostgreSQL refuses it on the table itself, because of {obstacle}: done on a shadow table"
            )
        }
        (Class::Copy, None) if cost.is_none() => {
            format!("{as_it_stands}; it goes with the others onto a shadow table")
        }
        (Class::Copy, None) => format!("{as_it_stands}: done on a shadow table that takes the table's place"),
    }
}
