//! The one place where a lock is asked for that could make the application wait.
//!
//! Others never queue behind our request for longer than `lock_timeout`, over all tables of it
//! together; past that we let go, stay away for a while and try again, saying who was in the way. We
//! look at `pg_locks` first and do not even ask while a long transaction holds what we want.
//! `lock_timeout` stays below the server's `deadlock_timeout`, so that in a deadlock it is we who give way.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::watch::Watch;
use crate::error::{Error, Kind, Result};
use crate::name::{Fragment, QualifiedName, sql};
use crate::pace::backoff;

/// How long and how often to ask.
#[derive(Debug, Clone, Copy)]
pub struct LockPolicy {
    /// The longest that others may queue behind one request, over all of its tables.
    pub lock_timeout: Duration,
    /// The longest that the application may wait behind locks that we hold.
    pub max_lock_time: Duration,
    /// How many attempts before giving up.
    pub attempts: u32,
}

/// Which lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Blocks writers, not readers: for CREATE TRIGGER.
    ShareRowExclusive,
    /// Blocks everybody.
    AccessExclusive,
}

impl LockMode {
    fn words(self) -> &'static str {
        match self {
            LockMode::ShareRowExclusive => "share row exclusive",
            LockMode::AccessExclusive => "access exclusive",
        }
    }

    /// The modes of others that keep us from having it.
    /// <https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES>
    fn conflicts(self) -> &'static [&'static str] {
        const ALL: [&str; 8] = [
            "ShareUpdateExclusiveLock",
            "RowExclusiveLock",
            "ShareLock",
            "ShareRowExclusiveLock",
            "ExclusiveLock",
            "AccessExclusiveLock",
            "RowShareLock",
            "AccessShareLock",
        ];
        match self {
            LockMode::ShareRowExclusive => &ALL[..6],
            LockMode::AccessExclusive => &ALL,
        }
    }
}

/// What asking cost.
#[derive(Debug, Clone, Default)]
pub struct LockStory {
    /// How often we asked or would have asked.
    pub attempts: u32,
    /// How long others could have queued behind us, in total.
    pub waited: Duration,
    /// Who was in the way, the last time somebody was.
    pub blockers: Vec<String>,
}

/// A holder older than this is not waited for with others queueing behind us.
const LONG_TRANSACTION: Duration = Duration::from_secs(1);

/// Begins a transaction on `client` that holds the lock on all `tables`, in this order. The first is
/// the one that applications know by the migration's name.
///
/// When it returns, nothing but SET and LOCK was done in the transaction: its first snapshot is still
/// to be taken. The caller commits, or rolls back and may ask again.
///
/// # Errors
/// [`Kind::Transient`] never; [`Kind::Failed`] after the last attempt, naming those in the way.
pub async fn acquire(
    client: &Client,
    tables: &[(QualifiedName, u32)],
    mode: LockMode,
    policy: LockPolicy,
    what: &str,
    watch: &Watch,
    story: &mut LockStory,
) -> Result<()> {
    for failed in 1.. {
        if try_acquire(client, tables, mode, policy, story).await? {
            return Ok(());
        }
        wait(failed, policy, what, watch, story, tables).await?;
    }
    unreachable!("wait gives up")
}

/// Asks once, if it makes sense to ask. `true`: the transaction is open and holds the locks.
pub async fn try_acquire(
    client: &Client,
    tables: &[(QualifiedName, u32)],
    mode: LockMode,
    policy: LockPolicy,
    story: &mut LockStory,
) -> Result<bool> {
    story.attempts += 1;
    let blockers = holders(client, tables, mode, Some(LONG_TRANSACTION)).await?;
    if !blockers.is_empty() {
        story.blockers = blockers;
        return Ok(false);
    }
    let asked = Instant::now();
    let result = ask(client, tables, mode, policy).await;
    story.waited += asked.elapsed();
    let Err(error) = result else { return Ok(true) };
    if error.kind == Kind::ConnectionLost {
        return Err(error);
    }
    client.batch_execute("rollback").await?;
    if error.kind != Kind::Transient {
        return Err(error);
    }
    let now = holders(client, tables, mode, None).await?;
    if !now.is_empty() {
        story.blockers = now;
    }
    Ok(false)
}

/// Stays away after the n-th failed attempt (from 1), or gives up.
pub async fn wait(
    failed: u32,
    policy: LockPolicy,
    what: &str,
    watch: &Watch,
    story: &LockStory,
    tables: &[(QualifiedName, u32)],
) -> Result<()> {
    if failed >= policy.attempts {
        return Err(given_up(tables, policy, what, story));
    }
    let who =
        if story.blockers.is_empty() { String::new() } else { format!(": {}", story.blockers.join("; ")) };
    watch.note(format!("lock for {what} not had (attempt {failed} of {}){who}", policy.attempts));
    let random = uuid::Uuid::new_v4().as_u128() as u64;
    tokio::time::sleep(backoff(failed, random)).await;
    Ok(())
}

async fn ask(
    client: &Client,
    tables: &[(QualifiedName, u32)],
    mode: LockMode,
    policy: LockPolicy,
) -> Result<()> {
    let budget = policy.lock_timeout.as_millis();
    let mut text = String::from("begin isolation level read committed;");
    if let Some((first, _)) = tables.first()
        && mode == LockMode::AccessExclusive
    {
        // Blocks no reader and no writer, but makes a plain autovacuum give way: that happens after
        // deadlock_timeout (1 s by default), which attempts as short as ours never reach.
        text.push_str(&format!(
            "set local lock_timeout = '2500ms'; lock table only {first} in share update exclusive mode;"
        ));
    }
    client.batch_execute(&text).await?;
    let names = Fragment::join(tables.iter().map(|(name, _)| format!("only {name}")), ", ");
    // lock_timeout counts for each lock anew, statement_timeout for the request as a whole.
    client
        .batch_execute(&format!(
            "set local lock_timeout = '{budget}ms'; set local statement_timeout = '{budget}ms';\
             set local idle_in_transaction_session_timeout = '{}ms'",
            policy.max_lock_time.as_millis() + 5000
        ))
        .await?;
    client.batch_execute(&format!("lock table {names} in {} mode", mode.words())).await?;
    client
        .batch_execute(&format!(
            "set local statement_timeout = '{}ms'; set local idle_in_transaction_session_timeout = '{}ms'",
            policy.max_lock_time.as_millis(),
            policy.max_lock_time.as_millis()
        ))
        .await?;
    Ok(())
}

/// Those in the way; with `older_than` only those whose transaction is older and will not give way.
async fn holders(
    client: &Client,
    tables: &[(QualifiedName, u32)],
    mode: LockMode,
    older_than: Option<Duration>,
) -> Result<Vec<String>> {
    let oids: Vec<u32> = tables.iter().map(|(_, oid)| *oid).collect();
    let rows = client.query(&sql!("lock/list_holders.sql").text(), &[&oids, &mode.conflicts()]).await?;
    let mut list = Vec::new();
    for row in rows {
        let pid: Option<i32> = row.try_get("pid")?;
        let state: String = row.try_get("state")?;
        let age: f64 = row.try_get("transaction_seconds")?;
        let gives_way: bool = row.try_get("gives_way")?;
        let is_prepared = pid.is_none();
        if older_than.is_some_and(|limit| (age < limit.as_secs_f64() || gives_way) && !is_prepared) {
            continue;
        }
        let application: String = row.try_get("application")?;
        let relation: String = row.try_get("relation")?;
        let who =
            pid.map_or("a prepared transaction".to_owned(), |pid| format!("pid {pid} \"{application}\""));
        let line = format!("{who} ({state}, transaction {age:.1} s old) on {relation}");
        if !list.contains(&line) {
            list.push(line);
        }
    }
    Ok(list)
}

fn given_up(tables: &[(QualifiedName, u32)], policy: LockPolicy, what: &str, story: &LockStory) -> Error {
    let first = tables.first().map(|(name, _)| name.shown()).unwrap_or_default();
    let error = Error::failed(format!(
        "could not lock table {first} for {what} ({} attempts of {} ms)",
        policy.attempts,
        policy.lock_timeout.as_millis()
    ))
    .hint("Wait for those in the way to finish, then run the same command again.");
    if story.blockers.is_empty() {
        error.because("canceling statement due to lock timeout (55P03)")
    } else {
        error.because(format!("blocked by {}", story.blockers.join("; ")))
    }
}
