//! What every step is handed: the session that leads, how to open others, where facts go, and where work rests.
//! Settings of a step are its own.

pub mod definition;
pub mod events;
mod gate;
pub mod made;
pub mod pairs;

pub use events::Events;
pub use gate::Gate;

use crate::db::{Session, Sessions};

/// A run of one migration.
pub struct Run {
    /// Leads the migration: holds its lease, reads and writes its state, and does what one session does.
    pub control: Session,
    /// Opens sessions under the owner and the settings of the migration.
    pub sessions: Sessions,
    /// Where facts go.
    pub events: Events,
    /// Where work rests.
    pub gate: Gate,
}
