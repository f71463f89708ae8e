//! The status of a migration, for `status`, `list` and the end of every command. As JSON it has stable keys, and null
//! for everything unknown.

use serde::Serialize;
use tokio_postgres::Client;

use uuid::Uuid;

use super::{Engine, find};
use crate::catalog::find_relation;
use crate::db::Backend;
use crate::error::{Code, Error, Result};
use crate::name::QualifiedName;
use crate::state::{Migration, Phase, PhaseTime, TableChange, chunk, load_steps};

/// The status of a migration.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Status {
    /// Id of the migration; null if none was begun.
    pub id: Option<String>,
    /// Its tables, as the user writes them.
    pub tables: Vec<String>,
    /// The requested change, one entry per statement; none for `--rebuild`.
    pub change: Vec<String>,
    /// When it was begun.
    pub begun_at: Option<String>,
    /// Its phase; null if none was begun.
    pub phase: Option<String>,
    /// Whether a pause was requested.
    pub paused: bool,
    /// Whether the swap waits for a confirmation.
    pub deferred: bool,
    /// Backend of the active run; null if there is none.
    pub runner_pid: Option<i32>,
    /// Rows copied so far.
    pub rows_copied: i64,
    /// Total rows, as estimated by the plan.
    pub rows_estimated: i64,
    /// Chunks copied.
    pub chunks_done: i64,
    /// Chunks so far.
    pub chunks_total: i64,
    /// Speed of the copy; null if none is running.
    pub rows_per_second: Option<f64>,
    /// Estimated remaining seconds of the copy; null if none is running.
    pub eta_seconds: Option<f64>,
    /// Log entries that are not yet replayed to the shadow.
    pub log_backlog: Option<i64>,
    /// Keys replayed.
    pub keys_replayed: i64,
    /// Rounds run.
    pub rounds: i64,
    /// Why the migration is throttled.
    pub throttle: Throttle,
    /// The last swap's locks.
    pub lock: Lock,
    /// The last verification; null if there was none.
    pub verify: Option<Verification>,
    /// The retired table, or after a rollback the new table; null before the swap and after cleanup.
    pub retired: Option<Retired>,
    /// Foreign keys that are enforced for new rows and that `run` has not validated yet.
    pub not_validated: Vec<String>,
    /// The steps of a change without a copy; empty for a copy.
    pub steps: Vec<StepStatus>,
    /// How long each phase took.
    pub phases: Vec<PhaseTime>,
    /// Why the last run failed; null if it did not.
    pub error: Option<Failure>,
}

/// A step of a change without a copy.
#[derive(Debug, Clone, Serialize)]
pub struct StepStatus {
    /// Its statements.
    pub statements: Vec<String>,
    /// Whether it is done.
    pub done: bool,
}

/// Why the migration is throttled.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Throttle {
    /// The reason; null if it is not throttled.
    pub reason: Option<String>,
}

/// The last swap's locks.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Lock {
    /// Attempts.
    pub attempts: i32,
    /// Milliseconds during which the locks were held; null if none was held.
    pub held_ms: Option<f64>,
    /// Milliseconds during which other sessions could have waited behind our requests.
    pub waited_ms: f64,
    /// The sessions that blocked the lock.
    pub blockers: Vec<String>,
}

/// The last verification.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Number of equal rows; null if it failed.
    pub rows: Option<i64>,
    /// Rows that differ, in the first slice with differences; null if it did not finish.
    pub differences: Option<i64>,
    /// When it ended.
    pub finished_at: Option<String>,
}

/// The retired table.
#[derive(Debug, Clone, Serialize)]
pub struct Retired {
    /// Its name.
    pub table: String,
    /// Its size with indexes.
    pub bytes: i64,
    /// When it was retired.
    pub since: Option<String>,
    /// Number of changes that are not replayed yet.
    pub reverse_backlog: Option<i64>,
}

/// Why a run failed.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Since when runs have failed with it; null for the error of the current command.
    pub since: Option<String>,
    /// The code of the refusal; null if it is none.
    pub code: Option<Code>,
    /// The server's SQLSTATE.
    pub sqlstate: Option<String>,
    /// The message and its cause.
    pub message: String,
    /// The state after the error.
    pub state: Option<String>,
    /// What the user can do.
    pub hint: Option<String>,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Failure {
            since: None,
            code: error.code,
            sqlstate: error.sqlstate.clone(),
            message: error.summary(),
            state: error.state.clone(),
            hint: error.hint.clone(),
        }
    }
}

impl Status {
    /// The same, with the error of the current command.
    #[must_use]
    pub fn with_error(mut self, error: &Error) -> Self {
        self.error = Some(Failure::of(error));
        self
    }

    /// Reads the status, also while another process runs the migration.
    pub async fn read(client: &Client, migration: &Migration) -> Result<Self> {
        let mut status = Status {
            id: Some(migration.id.to_string()),
            tables: migration.tables.iter().map(|table| table.name.shown()).collect(),
            change: migration.tables.iter().map(|table| table.asked.shown()).collect(),
            begun_at: Some(migration.begun_at.clone()),
            phase: Some(migration.phase.to_string()),
            paused: false,
            deferred: false,
            runner_pid: running(client, migration).await?,
            rows_copied: 0,
            rows_estimated: migration.tables.iter().map(|table| table.rows_estimated).sum(),
            chunks_done: 0,
            chunks_total: 0,
            rows_per_second: None,
            eta_seconds: None,
            log_backlog: None,
            keys_replayed: migration.tables.iter().map(|table| table.keys_replayed).sum(),
            rounds: migration.tables.iter().map(|table| table.rounds).sum(),
            throttle: Throttle {
                reason: migration
                    .waiting_for
                    .as_ref()
                    .map(|who| format!("waiting for older transactions: {who}")),
            },
            lock: Lock::of(migration),
            verify: Verification::of(migration),
            retired: None,
            not_validated: migration.not_validated(client).await?,
            steps: Vec::new(),
            phases: migration.phase_times(client).await?,
            error: migration
                .error
                .as_ref()
                .map(|error| Failure { since: migration.error_since.clone(), ..Failure::of(error) }),
        };
        if status.runner_pid.is_none() {
            status.throttle.reason = None; // nobody waits any more
        }
        for change in &migration.tables {
            let steps = load_steps(client, change.id).await?.into_iter();
            status.steps.extend(steps.map(|s| StepStatus { statements: s.step.statements, done: s.is_done }));
            status.add_copy(client, migration, change).await?;
            if migration.phase.is_before_swap() {
                add(&mut status.log_backlog, backlog(client, change, "forward").await?);
            }
            let kept = match migration.phase {
                phase if phase.is_swapped() => Some(change.retired()),
                Phase::RolledBack => Some(change.shadow()),
                _ => None,
            };
            if let Some(kept) = kept {
                status.retired = retired(client, migration, change, &kept).await?;
            }
        }
        Ok(status)
    }

    async fn add_copy(&mut self, client: &Client, migration: &Migration, change: &TableChange) -> Result<()> {
        let copy = chunk::progress(client, change.id).await?;
        self.rows_copied += copy.rows;
        self.chunks_done += copy.chunks_done;
        self.chunks_total += copy.chunks_claimed;
        if let (Phase::Capturing, Some(seconds)) = (migration.phase, chunk::seconds(client, change.id).await?)
            && seconds > 0.0
            && copy.blocks_done > 0
            && self.runner_pid.is_some()
        {
            self.rows_per_second = Some(copy.rows as f64 / seconds);
            self.eta_seconds =
                Some((copy.blocks - copy.blocks_done) as f64 * seconds / copy.blocks_done as f64);
        }
        Ok(())
    }
}

impl Lock {
    /// For all tables together: one request locks all of them.
    fn of(migration: &Migration) -> Self {
        let costs = || migration.tables.iter().map(|table| &table.lock);
        let mut blockers: Vec<String> = costs().flat_map(|cost| cost.blockers.clone()).collect();
        blockers.dedup();
        Lock {
            attempts: costs().map(|cost| cost.attempts).max().unwrap_or_default(),
            held_ms: costs().filter_map(|cost| cost.held_ms).reduce(f64::max),
            waited_ms: costs().map(|cost| cost.waited_ms).fold(0.0, f64::max),
            blockers,
        }
    }
}

impl Verification {
    /// For all tables together; none if one of them was never compared.
    fn of(migration: &Migration) -> Option<Self> {
        let all: Option<Vec<_>> = migration.tables.iter().map(|table| table.verification.as_ref()).collect();
        let all = all?;
        Some(Verification {
            rows: all.iter().map(|one| one.rows).sum(),
            differences: all.iter().map(|one| one.differences).sum(),
            finished_at: all.iter().map(|one| one.at.clone()).max(),
        })
    }
}

fn add(sum: &mut Option<i64>, more: Option<i64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or_default() + more);
    }
}

/// The backend that leads the migration, if it still exists.
async fn running(client: &Client, migration: &Migration) -> Result<Option<i32>> {
    let Some(leader) = migration.leader else { return Ok(None) };
    Ok(Backend::living(client, &[leader]).await?.pop().map(|living| living.pid))
}

/// The number of entries in a log. `None` if it does not exist or this role may not read it.
async fn backlog(client: &Client, change: &TableChange, direction: &str) -> Result<Option<i64>> {
    let log = change.own(&format!("log_{direction}"));
    if !is_readable(client, &log).await? {
        return Ok(None);
    }
    let row = client.query_one(&format!("select count(*) from {log}"), &[]).await?;
    Ok(Some(row.try_get(0)?))
}

async fn is_readable(client: &Client, table: &QualifiedName) -> Result<bool> {
    let row = client
        .query_one(
            "select coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass($1::text)::oid, 'select'), false)",
            &[&table.to_string()],
        )
        .await?;
    Ok(row.try_get(0)?)
}

async fn retired(
    client: &Client,
    migration: &Migration,
    change: &TableChange,
    name: &QualifiedName,
) -> Result<Option<Retired>> {
    let Some(oid) = find_relation(client, name).await? else { return Ok(None) };
    let bytes: i64 =
        client.query_one("select pg_catalog.pg_total_relation_size($1::oid)", &[&oid]).await?.try_get(0)?;
    Ok(Some(Retired {
        table: name.shown(),
        bytes,
        since: migration.swapped_at.clone(),
        reverse_backlog: match migration.phase {
            phase if phase.is_swapped() => backlog(client, change, "reverse").await?,
            _ => None,
        },
    }))
}

impl Engine {
    /// Finds the migration that the user means, without changing anything.
    pub async fn look_up(&self, word: &str) -> Result<Uuid> {
        let client = self.sessions.open("status").await?;
        Ok(find::find(&client, Some(word), false).await?.id)
    }

    /// The current status of a migration, also while another process runs it.
    pub async fn status(&self, id: Uuid) -> Result<Status> {
        let client = self.sessions.open("status").await?;
        Status::read(&client, &Migration::load(&client, id).await?).await
    }

    /// All migrations, the newest first; or only those that are open or still keep a table.
    pub async fn list(&self, open_only: bool) -> Result<Vec<Status>> {
        let client = self.sessions.open("status").await?;
        let mut list = Vec::new();
        for migration in Migration::list(&client).await? {
            let status = Status::read(&client, &migration).await?;
            if !open_only || migration.phase.is_open() || status.retired.is_some() {
                list.push(status);
            }
        }
        Ok(list)
    }
}
