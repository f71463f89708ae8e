//! The engine: loads the phase, runs the next step, and repeats. Every command of the program is a function here, in a
//! file of its own.

mod begin;
mod build;
mod drive;
mod find;
mod lead;
mod lease;
mod plan;
mod status;
mod take_away;

use std::future::Future;
use std::time::Duration;

use uuid::Uuid;

pub use begin::refuse;
pub use status::Status;

use crate::copy::CopyOptions;
use crate::db::Sessions;
use crate::error::{Error, Result};
use crate::lock::LockPolicy;
use crate::pair::Direction;
use crate::run::{Events, Run, pairs};
use crate::state::{self, Migration, Phase};
use crate::swap::snapshots::{OldSnapshots, SnapshotPolicy};

/// Options of a run. They may differ from run to run of one migration.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How to copy.
    pub copy: CopyOptions,
    /// How to request locks.
    pub lock: LockPolicy,
    /// How long to pause after a piece of work, as a multiple of its duration.
    pub nice_ratio: f64,
    /// What to do about transactions whose snapshot is older than the new table, or than the swap.
    pub snapshots: SnapshotPolicy,
    /// How many indexes are built in parallel.
    pub index_jobs: usize,
    /// Memory for each index build, in kB.
    pub maintenance_work_mem: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        let nice_ratio = 1.5;
        Options {
            copy: CopyOptions::new(1, None, nice_ratio > 0.0),
            lock: LockPolicy {
                lock_timeout: Duration::from_millis(300),
                max_lock_time: Duration::from_millis(300),
                attempts: 60,
                kill_blockers_after: None,
            },
            nice_ratio,
            snapshots: SnapshotPolicy { old: OldSnapshots::Wait, timeout: Duration::from_mins(10) },
            index_jobs: 1,
            maintenance_work_mem: None,
        }
    }
}

/// Runs commands against one database.
pub struct Engine {
    sessions: Sessions,
    options: Options,
    events: Events,
}

impl Engine {
    /// An engine that opens its sessions with `sessions` and reports to `events`.
    #[must_use]
    pub fn new(sessions: Sessions, options: Options, events: Events) -> Self {
        Engine { sessions, options, events }
    }

    /// The migration that a command works on: by id, unique prefix, or table; without a word, the only open one.
    /// Upgrades an older state to this program's version first.
    pub async fn find(&self, word: Option<&str>, open_only: bool) -> Result<Uuid> {
        let client = self.sessions.open("find").await?;
        state::upgrade(&client).await?;
        Ok(find::find(&client, word, open_only).await?.id)
    }

    /// Completes a migration, or continues after the swap: validates foreign keys and brings the retired table up to
    /// date. `stop` ends the run in a state from which it can continue.
    pub async fn run(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.drive(id, stop, Direction::Forward).await
    }

    /// Puts the original back, with everything written since.
    pub async fn rollback(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.drive(id, stop, Direction::Reverse).await
    }

    async fn drive(&self, id: Uuid, stop: impl Future<Output = ()>, direction: Direction) -> Result<()> {
        self.lead(id, stop, async |run: &Run, options: &Options| {
            let mut migration = Migration::load(&run.control, id).await?;
            drive::drive(run, &mut migration, options, direction).await
        })
        .await
    }

    /// Compares the tables of a migration now.
    pub async fn verify(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |run: &Run, _: &Options| {
            let migration = Migration::load(&run.control, id).await?;
            let direction = match migration.phase {
                Phase::Indexed | Phase::Level | Phase::Verified => Direction::Forward,
                phase if phase.is_swapped() => Direction::Reverse,
                other => {
                    return Err(Error::usage(format!(
                        "migration {} is {other}: there are no two tables to compare",
                        migration.short_id()
                    )));
                }
            };
            for change in &migration.tables {
                let pair = pairs::load(&run.control, change, direction).await?;
                drive::verify(run, change, &pair).await?;
            }
            Ok(())
        })
        .await
    }

    /// The migrations that were swapped or rolled back longer ago than this and still keep a table.
    pub async fn kept_for(&self, at_least: Duration) -> Result<Vec<Uuid>> {
        let client = self.sessions.open("find").await?;
        state::upgrade(&client).await?;
        let mut old = Vec::new();
        for migration in Migration::list(&client).await? {
            let is_over = migration.phase.is_swapped() || migration.phase == Phase::RolledBack;
            if is_over && migration.swapped_ago.is_some_and(|ago| ago >= at_least) {
                let status = Status::read(&client, &migration).await?;
                old.extend(status.retired.map(|_| migration.id));
            }
        }
        Ok(old)
    }
}
