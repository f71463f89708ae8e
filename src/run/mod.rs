//! The context of every step: the leading session, a way to open others, the events, and the gate. Each step has its
//! own options.

pub mod definition;
pub mod events;
mod gate;
pub mod made;
pub mod pairs;
mod sessions;

pub use events::Events;
pub use gate::Gate;
pub use sessions::OwnSessions;

use crate::db::Session;

/// A run of one migration.
pub struct Run {
    /// The session that leads the migration: holds its lease, reads and writes its state, and does all work that needs
    /// only one session.
    pub control: Session,
    /// Opens sessions with the owner and the settings of the migration, recorded as ours.
    pub sessions: OwnSessions,
    /// Receives the events.
    pub events: Events,
    /// Where work pauses.
    pub gate: Gate,
}
