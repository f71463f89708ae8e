//! The context of every step: the leading session, a way to open others, the events, and the gate. Each step has its
//! own options.

pub mod definition;
pub mod events;
mod gate;
pub mod pairs;

pub use events::Events;
pub use gate::Gate;

use crate::db::{Session, Sessions};

/// A run of one migration.
pub struct Run {
    /// The session that leads the migration: holds its lease, reads and writes its state, and does all work that needs
    /// only one session.
    pub control: Session,
    /// Opens sessions with the owner and the settings of the migration.
    pub sessions: Sessions,
    /// Receives the events.
    pub events: Events,
    /// Where work pauses.
    pub gate: Gate,
}
