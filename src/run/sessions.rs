//! Opens the sessions of a run and records each of them before it does anything, so that other runs can identify it.

use uuid::Uuid;

use crate::db::{Backend, Session, Sessions};
use crate::error::Result;
use crate::state::session;

/// Opens sessions with the owner and the settings of a migration, and records them for it.
#[derive(Debug, Clone)]
pub struct OwnSessions {
    sessions: Sessions,
    migration: Uuid,
}

impl OwnSessions {
    /// Sessions of this migration.
    #[must_use]
    pub fn new(sessions: Sessions, migration: Uuid) -> Self {
        OwnSessions { sessions, migration }
    }

    /// Opens a session for the given purpose.
    pub async fn open(&self, purpose: &str) -> Result<Session> {
        let session = self.sessions.open(purpose).await?;
        self.record(session, purpose).await
    }

    /// Opens a session that writes much, and whose commits need not wait for the disk.
    pub async fn open_worker(&self, purpose: &str) -> Result<Session> {
        let session = self.sessions.open_worker(purpose).await?;
        self.record(session, purpose).await
    }

    async fn record(&self, session: Session, purpose: &str) -> Result<Session> {
        let backend = Backend::own(&session).await?;
        session::record(&session, self.migration, &backend, purpose).await?;
        Ok(session)
    }
}
