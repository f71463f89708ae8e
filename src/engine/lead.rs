//! One run leads a migration: as its owner and with its settings, with its lease, after the orphans of an earlier run
//! have ended.

use std::future::Future;
use std::time::Duration;

use tokio_postgres::Client;
use uuid::Uuid;

use super::lease::Lease;
use super::{Engine, Options};
use crate::error::{Error, Kind, Result};
use crate::run::{Gate, OwnSessions, Run};
use crate::state::{self, Migration, Phase};

impl Engine {
    /// Runs `work` as the leader of this migration. A failure is recorded.
    pub(super) async fn lead(
        &self,
        id: Uuid,
        stop: impl Future<Output = ()>,
        work: impl AsyncFnOnce(&Run, &Options) -> Result<()>,
    ) -> Result<()> {
        let find = self.sessions.open("find").await?;
        state::upgrade(&find).await?;
        let migration = Migration::load(&find, id).await?;
        drop(find);
        let gate = Gate::new(self.options.nice_ratio);
        let sessions = self
            .sessions
            .for_migration(&migration.short_id(), &migration.owner, &migration.settings)
            .nice(gate.is_nice())
            .with_maintenance_work_mem(self.options.maintenance_work_mem);
        let control = sessions.open("control").await?;
        let lease = Lease::take(&control, &migration, &self.events).await?;
        let recorded = OwnSessions::new(sessions.clone(), id);
        let run = Run { control, sessions: recorded, events: self.events.clone(), gate };
        let mut options = self.options;
        options.lock = options.lock.under(deadlock_timeout(&run.control).await?);
        let result = tokio::select! {
            result = Box::pin(work(&run, &options)) => result,
            () = stop => Err(Error::stopped("stopped on request")),
        };
        let Err(error) = result else {
            Migration::clear_error(&run.control, id).await?;
            return lease.give_back(&run.control).await;
        };
        drop(run);
        // The connection of a stopped or failed step may be in any state: a new one reads the actual state.
        let Ok(tidy) = sessions.open("tidy").await else { return Err(error) };
        let Ok(lease) = lease.hand_on(&tidy).await else { return Err(error) };
        let now = Migration::load(&tidy, id).await?;
        let error = describe(error, &now);
        let Some(lease) = lease else { return Err(error) }; // another run leads and reports the state
        if error.kind != Kind::Usage {
            now.record_error(&tidy, &error).await?; // a usage error is not about the migration
        }
        lease.give_back(&tidy).await?;
        Err(error)
    }
}

async fn deadlock_timeout(client: &Client) -> Result<Duration> {
    let milliseconds: i64 = client
        .query_one("select setting::int8 from pg_catalog.pg_settings where name = 'deadlock_timeout'", &[])
        .await?
        .try_get(0)?;
    Ok(Duration::from_millis(milliseconds.unsigned_abs()))
}

/// Adds to the error the state of a stopped or failed migration, and how to continue.
fn describe(error: Error, migration: &Migration) -> Error {
    let id = migration.short_id();
    let state = match migration.phase {
        Phase::Planned if migration.needs_no_copy => {
            "the table is in use; steps that are done remain, and an index whose build was stopped remains invalid until the \
             migration continues or is aborted"
        }
        Phase::Planned | Phase::Shadowed => "the table is unchanged; nothing is captured yet",
        phase if phase.is_swapped() => "the new table is in place; its changes are captured for a rollback",
        phase if phase.is_before_swap() => {
            "the table is unchanged and in use; changes are being captured, all work so far is kept"
        }
        _ => "the migration has ended",
    };
    let hint = if migration.phase.is_before_swap() {
        format!("Run `pgrecast run {id}` to continue, or `pgrecast abort {id}` to undo.")
    } else if migration.phase.is_swapped() {
        format!("Run `pgrecast run {id}` to keep the change, or `pgrecast rollback {id}` to undo it.")
    } else {
        format!("Run `pgrecast status {id}`.")
    };
    let is_usage = error.kind == Kind::Usage;
    let error = error.state(format!("{} ({})", state, migration.phase));
    if is_usage { error } else { error.hint(hint) }
}
