//! Opens the sessions of a run, and records each as ours before it does anything: whoever looks later knows it by that.

use uuid::Uuid;

use crate::db::{Backend, Session, Sessions};
use crate::error::Result;
use crate::state::session;

/// Opens sessions under the owner and the settings of a migration, recorded under it.
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

    /// Opens one. `purpose` says what it is for.
    pub async fn open(&self, purpose: &str) -> Result<Session> {
        let session = self.sessions.open(purpose).await?;
        self.record(session, purpose).await
    }

    /// Opens one that writes much, and whose commits need not wait for the disk.
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
