//! One run at a time: the lease of a migration is its leader's, a session recorded in the state, as long as that lives. Only
//! who may write to the state can take it, no lock is held for it, and it ends with the session.

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

/// How long to wait for the lease, which a killed run's session may hold for a moment more.
const LEASE: Duration = Duration::from_secs(3);

/// How long to wait for sessions of a former run that this role may not end: the server notices within
/// `client_connection_check_interval` that nobody is there any more.
const ORPHANS: Duration = Duration::from_secs(10);

/// The right to lead a migration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    migration: Uuid,
    session: i64,
}

impl Lease {
    /// Takes the lease of a migration for this session, and sees to it that no backend of a former run is still at work.
    ///
    /// # Errors
    /// When another run has it, or leads another migration of the same table, naming its backend.
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

    /// Hands it on to another session of the same run, and ends what is left of the run. `None`: another run has it.
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
            tracing::warn!(error = %orphans, "could not end the sessions of this run");
        }
        Ok(Some(Lease { session, ..self }))
    }

    /// Gives it back: the work is over.
    pub(super) async fn give_back(self, client: &Client) -> Result<()> {
        lease::give_back(client, self.migration, self.session).await
    }
}

/// Waits a moment for sessions of a former run, then ends them: they are ours, and one of them could
/// be copying a chunk. Says whether there were any.
///
/// # Errors
/// When they belong to a role whose sessions this one may not end, and do not end by themselves.
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
            return Err(Error::failed("sessions of a former run of this migration are still at work")
                .because(who.join(", "))
                .state("this command did nothing")
                .hint("They end by themselves within seconds; end them with pg_terminate_backend if not."));
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
        None => "another run has just taken it".to_owned(),
    };
    Error::failed(format!("migration {} is already running elsewhere", migration.short_id()))
        .because(who)
        .state("this command did nothing")
        .hint("Watch it with `pgrecast status`; stop it there (Ctrl-C) before going on from here.")
}
