//! One run at a time: the lease of a migration belongs to its leader, a session recorded in the state, as long as that
//! session exists. Only roles that may write to the state can take it. It needs no lock, and ends with the session.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::db::backend::query_as_login;
use crate::db::{Backend, Living};
use crate::error::{Error, Result};
use crate::name::sql;
use crate::run::Events;
use crate::run::events::Note;
use crate::state::lease::{self, Leader};
use crate::state::{Migration, session};

/// How long to wait for the lease. The session of a killed run may still hold it for a moment.
const LEASE: Duration = Duration::from_secs(3);

/// How long to wait for sessions of an earlier run that this role may not terminate. The server notices within
/// `client_connection_check_interval` that their client is gone.
const ORPHANS: Duration = Duration::from_secs(10);

/// The right to lead a migration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    migration: Uuid,
    session: i64,
}

impl Lease {
    /// Takes the lease of a migration for this session, and makes sure that no backend of an earlier run is still active.
    ///
    /// # Errors
    /// If another run holds it, or leads another migration of the same table; the error names its backend.
    pub(super) async fn take(client: &Client, migration: &Migration, events: &Events) -> Result<Self> {
        let own = Backend::own(client).await?;
        let deadline = Instant::now() + LEASE;
        let session = loop {
            let leaders = Leader::list(client, migration.id).await?;
            let backends: Vec<Backend> = leaders.iter().filter_map(|leader| leader.backend).collect();
            let living = Backend::living(client, &backends).await?;
            if living.is_empty()
                && let Some(session) = lease::take(client, migration.id, &own, &leaders, "control").await?
            {
                break session;
            }
            if Instant::now() >= deadline {
                return Err(held_elsewhere(migration, living.first()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        if end_orphans(client, migration.id).await? {
            events.noted(Note::OrphansEnded);
        }
        Ok(Lease { migration: migration.id, session })
    }

    /// Passes it to another session of the same run, and terminates the others. `None`: another run holds it.
    pub(super) async fn hand_on(self, client: &Client) -> Result<Option<Self>> {
        let own = Backend::own(client).await?;
        let leaders = Leader::list(client, self.migration).await?;
        let is_ours =
            |leader: &Leader| leader.migration != self.migration || leader.session == Some(self.session);
        if !leaders.iter().all(is_ours) {
            return Ok(None);
        }
        let taken = lease::take(client, self.migration, &own, &leaders, "tidy").await?;
        let Some(session) = taken else { return Ok(None) };
        if let Err(orphans) = end_orphans(client, self.migration).await {
            tracing::warn!(error = %orphans, "could not terminate the sessions of this run");
        }
        Ok(Some(Lease { session, ..self }))
    }

    /// Releases it at the end of the work.
    pub(super) async fn give_back(self, client: &Client) -> Result<()> {
        lease::give_back(client, self.migration, self.session).await
    }
}

/// Waits a moment for sessions of an earlier run, then terminates them: they are ours, and one of them could be copying
/// a chunk. Returns whether there were any.
///
/// # Errors
/// If this role may not terminate them and they do not end.
async fn end_orphans(client: &Client, migration: Uuid) -> Result<bool> {
    let own = Backend::own(client).await?;
    let recorded = session::list(client, Some(migration)).await?;
    let others: Vec<Backend> = recorded.into_iter().filter(|backend| *backend != own).collect();
    let (pids, starts, _) = Backend::columns(&others);
    let began = Instant::now();
    let mut found = false;
    loop {
        let living = Backend::living(client, &others).await?;
        if living.is_empty() {
            session::forget(client, migration).await?;
            return Ok(found);
        }
        if began.elapsed() >= ORPHANS {
            let who: Vec<String> = living.iter().map(Living::shown).collect();
            return Err(Error::failed("sessions of an earlier run of this migration are still active")
                .because(who.join(", "))
                .state("this command did nothing")
                .hint(
                    "They normally end within seconds. If not, terminate them with pg_terminate_backend.",
                ));
        }
        if found {
            query_as_login(client, &sql!("engine/end_orphans.sql").text(), &[&pids, &starts]).await?;
        }
        found = true;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn held_elsewhere(migration: &Migration, leader: Option<&Living>) -> Error {
    let who = match leader {
        Some(leader) => format!("held by {}", leader.shown()),
        None => "another run has just acquired it".to_owned(),
    };
    Error::failed(format!("migration {} is already running elsewhere", migration.short_id()))
        .because(who)
        .state("this command did nothing")
        .hint("Watch it with `pgrecast status`, or stop it there (Ctrl-C) and run the command again.")
}
