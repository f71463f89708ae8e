//! What is true of a migration, for `status`, `list` and the end of every command; as JSON with stable
//! keys, null where something is not known.

use serde::Serialize;
use tokio_postgres::Client;

use crate::catalog::find_table;
use crate::error::{Code, Error, Result};
use crate::name::{QualifiedName, sql};
use crate::state::{Migration, Phase, PhaseTime, TableChange, load_steps};

/// Everything there is to say.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Status {
    /// The migration; null when none was begun.
    pub id: Option<String>,
    /// Its tables, as a person writes them.
    pub tables: Vec<String>,
    /// What was asked for, a statement each; `--rebuild` is none.
    pub change: Vec<String>,
    /// When it was begun.
    pub begun_at: Option<String>,
    /// Its phase; null when none was begun.
    pub phase: Option<String>,
    /// Whether it was asked to pause.
    pub paused: bool,
    /// Whether the swap waits for a word.
    pub deferred: bool,
    /// Backend of the run that has it now; null when none has.
    pub runner_pid: Option<i32>,
    /// Rows copied so far.
    pub rows_copied: i64,
    /// Rows in all, as estimated when it was planned.
    pub rows_estimated: i64,
    /// Chunks copied.
    pub chunks_done: i64,
    /// Chunks so far.
    pub chunks_total: i64,
    /// Speed of the copy; null when none runs.
    pub rows_per_second: Option<f64>,
    /// Seconds left of the copy; null when none runs.
    pub eta_seconds: Option<f64>,
    /// Log entries that wait to be brought over to the shadow.
    pub log_backlog: Option<i64>,
    /// Keys brought over.
    pub keys_replayed: i64,
    /// Rounds run.
    pub rounds: i64,
    /// Why it is slowed down.
    pub throttle: Throttle,
    /// The last swap's locks.
    pub lock: Lock,
    /// The last verification; null when there was none.
    pub verify: Option<Verification>,
    /// The retired table, after a rollback the one that was new; null before the swap and after cleanup.
    pub retired: Option<Retired>,
    /// Foreign keys that are enforced for new rows and still to be validated by `run`.
    pub not_validated: Vec<String>,
    /// The steps of a change that needs no copy; empty for a copy.
    pub steps: Vec<StepStatus>,
    /// How long each phase took.
    pub phases: Vec<PhaseTime>,
    /// Why the last run failed; null when it did not.
    pub error: Option<Failure>,
}

/// A step of a change that needs no copy.
#[derive(Debug, Clone, Serialize)]
pub struct StepStatus {
    /// What it runs.
    pub statements: Vec<String>,
    /// Whether it is done.
    pub done: bool,
}

/// Why it is slowed down.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Throttle {
    /// In words; null when it is not.
    pub reason: Option<String>,
}

/// The last swap's locks.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Lock {
    /// Attempts.
    pub attempts: i32,
    /// Milliseconds under the locks; null when none was held.
    pub held_ms: Option<f64>,
    /// Milliseconds that others could have queued behind our requests.
    pub waited_ms: f64,
    /// Who was in the way.
    pub blockers: Vec<String>,
}

/// The last verification.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Rows compared and found equal; null when it failed.
    pub rows: Option<i64>,
    /// Rows that differ, in the first slice in which some do; null when it did not come to an end.
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
    /// Since when it is retired.
    pub since: Option<String>,
    /// Changes that it is behind.
    pub reverse_backlog: Option<i64>,
}

/// Why a run failed.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Since when runs fail with it; null for one that is just over.
    pub since: Option<String>,
    /// Why it is refused; null when it is not.
    pub code: Option<Code>,
    /// The server's SQLSTATE.
    pub sqlstate: Option<String>,
    /// What and why.
    pub message: String,
    /// In which state things are.
    pub state: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    fn of(error: &Error) -> Self {
        let message = match &error.cause {
            Some(cause) => format!("{}: {cause}", error.message),
            None => error.message.clone(),
        };
        Failure {
            since: None,
            code: error.code,
            sqlstate: error.sqlstate.clone(),
            message,
            state: error.state.clone(),
            hint: error.hint.clone(),
        }
    }
}

impl Status {
    /// The same, with the error that ended a command just now.
    #[must_use]
    pub fn with_error(mut self, error: &Error) -> Self {
        self.error = Some(Failure::of(error));
        self
    }

    /// Reads it, also while another process runs the migration.
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
            keys_replayed: migration.keys_replayed,
            rounds: migration.rounds,
            throttle: Throttle { reason: migration.waiting_for.clone() },
            lock: Lock {
                attempts: migration.lock_attempts,
                held_ms: migration.lock_held_ms,
                waited_ms: migration.lock_waited_ms,
                blockers: migration.lock_blockers.clone(),
            },
            verify: migration.verified_at.as_ref().map(|at| Verification {
                rows: migration.verified_rows,
                differences: migration.verified_differences,
                finished_at: Some(at.clone()),
            }),
            retired: None,
            not_validated: not_validated(client, migration).await?,
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
                Phase::Swapped => Some(change.retired()),
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
        let row = client.query_one(&sql!("copy/read_progress.sql").text(), &[&change.id]).await?;
        let rows: i64 = row.try_get("rows_copied")?;
        let blocks_done: i64 = row.try_get("blocks_done")?;
        self.rows_copied += rows;
        self.chunks_done += row.try_get::<_, i64>("chunks_done")?;
        self.chunks_total += row.try_get::<_, i64>("chunks_claimed")?;
        let seconds: Option<f64> =
            client.query_one(&sql!("copy/read_speed.sql").text(), &[&change.id]).await?.try_get("seconds")?;
        if let (Phase::Capturing, Some(seconds), Some(blocks)) = (migration.phase, seconds, change.blocks)
            && seconds > 0.0
            && blocks_done > 0
            && self.runner_pid.is_some()
        {
            self.rows_per_second = Some(rows as f64 / seconds);
            self.eta_seconds = Some((blocks - blocks_done) as f64 * seconds / blocks_done as f64);
        }
        Ok(())
    }
}

fn add(sum: &mut Option<i64>, more: Option<i64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or_default() + more);
    }
}

/// The backend that leads the migration, if it still lives.
async fn running(client: &Client, migration: &Migration) -> Result<Option<i32>> {
    let Some(pid) = migration.runner_pid else { return Ok(None) };
    let label = format!("pgrecast {} control", migration.short_id());
    let lives: bool = client
        .query_one(
            "select exists (select from pg_catalog.pg_stat_activity where pid = $1 and application_name = $2)",
            &[&pid, &label],
        )
        .await?
        .try_get(0)?;
    Ok(lives.then_some(pid))
}

/// Foreign keys that are NOT VALID since the swap.
async fn not_validated(client: &Client, migration: &Migration) -> Result<Vec<String>> {
    let rows = client.query(&sql!("state/list_not_validated.sql").text(), &[&migration.id]).await?;
    rows.iter().map(|row| Ok(row.try_get("shown")?)).collect()
}

/// Entries in a log. `None` when it is not there, or not for this role to read.
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
    let Some(oid) = find_table(client, &name.to_string()).await? else { return Ok(None) };
    let bytes: i64 =
        client.query_one("select pg_catalog.pg_total_relation_size($1::oid)", &[&oid]).await?.try_get(0)?;
    Ok(Some(Retired {
        table: name.shown(),
        bytes,
        since: migration.swapped_at.clone(),
        reverse_backlog: match migration.phase {
            Phase::Swapped => backlog(client, change, "reverse").await?,
            _ => None,
        },
    }))
}
