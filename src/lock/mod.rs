//! The only place that requests locks which could make the application wait.
//!
//! Other sessions never wait behind our request for longer than `lock_timeout` in total, over all its tables. After
//! that limit we release everything, pause and retry, and report who blocked the lock. We look at `pg_locks` first and
//! do not request the lock while a long transaction holds a conflicting one. `lock_timeout` stays below the server's
//! `deadlock_timeout`, so that in a deadlock our request is cancelled.

mod hold;
pub mod holders;
mod request;

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use uuid::Uuid;

pub use crate::run::events::Purpose;
pub use hold::Hold;
use holders::Sightings;
pub use request::{Request, Target};

use crate::alter::LockMode;
use crate::error::{Error, Kind, Result};
use crate::name::Fragment;
use crate::pace::backoff;
use crate::run::Run;
use crate::run::events::Note;
use crate::state::{LockCost, TableChange};

/// How long and how often to request a lock.
#[derive(Debug, Clone, Copy)]
pub struct LockPolicy {
    /// Maximum time that other sessions may wait behind one request, over all its tables.
    pub lock_timeout: Duration,
    /// Maximum time that the application may wait behind locks that we hold.
    pub max_lock_time: Duration,
    /// How many tries before the command fails.
    pub attempts: u32,
    /// If the lock is not acquired in this time, terminate the sessions that hold locks on the table itself. `None`:
    /// never.
    pub kill_blockers_after: Option<Duration>,
}

impl LockPolicy {
    /// Limits the request to half of the server's `deadlock_timeout`. Several short waits add up, and a session that
    /// waits longer than `deadlock_timeout` may be cancelled as the victim of a deadlock.
    #[must_use]
    pub fn under(mut self, deadlock_timeout: Duration) -> Self {
        self.lock_timeout = self.lock_timeout.min(deadlock_timeout / 2).max(Duration::from_millis(1));
        self
    }
}

impl LockMode {
    /// The modes that conflict with this one.
    /// <https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES>
    pub(super) fn conflicts(self) -> &'static [&'static str] {
        const ALL: [&str; 8] = [
            "ShareUpdateExclusiveLock",
            "ShareLock",
            "ShareRowExclusiveLock",
            "ExclusiveLock",
            "AccessExclusiveLock",
            "RowExclusiveLock",
            "RowShareLock",
            "AccessShareLock",
        ];
        match self {
            LockMode::ShareUpdateExclusive => &ALL[..5],
            LockMode::ShareRowExclusive => &ALL[..6],
            LockMode::AccessExclusive => &ALL,
        }
    }
}

/// The statistics of a request.
#[derive(Debug, Clone, Default)]
pub struct LockStory {
    /// How often we requested the lock or did not, because of a long transaction.
    pub attempts: u32,
    /// How long other sessions could have waited behind us, in total.
    pub waited: Duration,
    /// The last sessions that blocked it.
    pub blockers: Vec<String>,
}

impl LockStory {
    /// The record for the state: no lock was held.
    #[must_use]
    pub fn cost(&self) -> LockCost {
        LockCost {
            attempts: self.attempts as i32,
            waited_ms: self.waited.as_secs_f64() * 1000.0,
            held_ms: None,
            blockers: self.blockers.clone(),
        }
    }
}

/// While a holder is older than this, we do not request the lock: others would wait behind us.
const LONG_TRANSACTION: Duration = Duration::from_secs(1);

/// How often to check whether a transaction of unknown age has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Work to be done under a lock, and how often the lock was tried.
pub struct Locking<'a> {
    run: &'a Run,
    tables: Vec<i64>,
    purpose: Purpose,
    policy: LockPolicy,
    began: Instant,
    sightings: Sightings,
    /// The statistics so far.
    pub story: LockStory,
}

impl<'a> Locking<'a> {
    /// Prepares a request. `tables` are the table changes for which `status` shows the request.
    #[must_use]
    pub fn new(run: &'a Run, tables: &[i64], purpose: Purpose, policy: LockPolicy) -> Self {
        Locking {
            run,
            tables: tables.to_vec(),
            purpose,
            policy,
            began: Instant::now(),
            sightings: Sightings::default(),
            story: LockStory::default(),
        }
    }

    /// Begins a transaction that holds the lock on all relations of the request.
    ///
    /// When it returns, the transaction has run only SET and LOCK: it has no snapshot yet. The caller commits, or rolls
    /// back and may request the lock again.
    ///
    /// # Errors
    /// [`Kind::Failed`] after the last try, with the sessions that blocked it. Never [`Kind::Transient`].
    pub async fn acquire(&mut self, request: &Request, mode: LockMode) -> Result<()> {
        while !self.try_acquire(request, mode).await? {
            self.wait(request, mode).await?;
        }
        Ok(())
    }

    /// Requests the lock once, unless a long transaction holds a conflicting one. `true`: the transaction is open and
    /// holds the locks.
    pub async fn try_acquire(&mut self, request: &Request, mode: LockMode) -> Result<bool> {
        self.story.attempts += 1;
        let long = self.long_holders(request, mode).await?;
        if !long.is_empty() {
            self.story.blockers = long;
            return Ok(false);
        }
        let asked = Instant::now();
        let result = ask(&self.run.control, request, mode, self.policy, self.story.attempts).await;
        self.story.waited += asked.elapsed();
        let Err(error) = result else { return Ok(true) };
        if error.kind == Kind::ConnectionLost {
            return Err(error);
        }
        self.run.control.batch_execute("rollback").await?;
        if error.kind != Kind::Transient {
            return Err(error);
        }
        let now = self.holders(request, mode).await?;
        if !now.is_empty() {
            self.story.blockers = now.iter().map(|holder| holder.shown(self.sightings.age(holder))).collect();
        }
        Ok(false)
    }

    /// Pauses after a failed try, or fails after the last one. Records the result for `status` in another terminal.
    pub async fn wait(&mut self, request: &Request, mode: LockMode) -> Result<()> {
        let story = &self.story;
        let client = &self.run.control;
        if self.purpose.is_shown() {
            TableChange::record_attempts(client, &self.tables, &story.cost()).await?;
        }
        if story.attempts >= self.policy.attempts {
            return Err(self.given_up(request));
        }
        self.run.events.noted(Note::LockNotGranted {
            purpose: self.purpose,
            attempt: story.attempts,
            of: self.policy.attempts,
            blockers: story.blockers.clone(),
        });
        if let Some(limit) = self.policy.kill_blockers_after
            && self.began.elapsed() >= limit
        {
            for table in request.tables() {
                for ended in holders::end(client, table.oid, mode.conflicts()).await? {
                    self.run.events.noted(Note::BlockerEnded(ended));
                }
            }
        }
        let random = Uuid::new_v4().as_u128() as u64;
        tokio::time::sleep(backoff(self.story.attempts, random)).await;
        Ok(())
    }

    async fn holders(&mut self, request: &Request, mode: LockMode) -> Result<Vec<holders::Holder>> {
        let found = holders::list(&self.run.control, &request.oids(), mode.conflicts()).await?;
        self.sightings.see(&found);
        Ok(found)
    }

    /// The blocking sessions with long transactions that do not give way, in words. If the age of a transaction is
    /// hidden from us, we watch it for as long as a short one lasts, without requesting the lock.
    async fn long_holders(&mut self, request: &Request, mode: LockMode) -> Result<Vec<String>> {
        let mut found = self.holders(request, mode).await?;
        let hidden: Vec<String> = found
            .iter()
            .filter(|holder| holder.age.is_none() && !holder.gives_way)
            .map(|holder| holder.transaction.clone())
            .collect();
        while found.iter().any(|holder| {
            hidden.contains(&holder.transaction) && self.sightings.age(holder) < LONG_TRANSACTION
        }) {
            tokio::time::sleep(LOOK).await;
            found = self.holders(request, mode).await?;
        }
        Ok(found
            .iter()
            .map(|holder| (holder, self.sightings.age(holder)))
            .filter(|(holder, age)| holder.pid.is_none() || (*age >= LONG_TRANSACTION && !holder.gives_way))
            .map(|(holder, age)| holder.shown(age))
            .collect())
    }

    fn given_up(&self, request: &Request) -> Error {
        let tables: Vec<String> = request.tables().map(|table| table.name.shown()).collect();
        let error = Error::failed(format!(
            "could not lock table {} for {} ({} tries of {} ms)",
            tables.join(", "),
            self.purpose.as_str(),
            self.policy.attempts,
            self.policy.lock_timeout.as_millis()
        ))
        .hint("Wait for these sessions to finish, then run the same command again.");
        if self.story.blockers.is_empty() {
            error.because("canceling statement due to lock timeout (55P03)")
        } else {
            error.because(format!("blocked by {}", self.story.blockers.join("; ")))
        }
    }
}

/// Whether this role may lock a table in the strongest mode.
pub(super) async fn may_lock(client: &Client, oid: u32) -> Result<bool> {
    const RIGHTS: &str = "select pg_catalog.has_table_privilege($1::oid, 'update, delete, truncate')";
    Ok(client.query_one(RIGHTS, &[&oid]).await?.try_get(0)?)
}

async fn ask(
    client: &Client,
    request: &Request,
    mode: LockMode,
    policy: LockPolicy,
    attempt: u32,
) -> Result<()> {
    client.batch_execute("begin isolation level read committed").await?;
    // Blocks neither readers nor writers, but makes a plain autovacuum give way. That happens after deadlock_timeout (1
    // s by default), longer than our requests wait.
    client
        .batch_execute(&format!(
            "set local lock_timeout = '2500ms'; lock table {} in share update exclusive mode",
            Fragment::join(request.tables().map(|table| format!("only {}", table.name)), ", ")
        ))
        .await?;
    if mode == LockMode::ShareUpdateExclusive {
        return Ok(());
    }
    let owner: String =
        client.query_one("select pg_catalog.quote_ident(current_user)", &[]).await?.try_get(0)?;
    let (budget, most) = (policy.lock_timeout.as_millis(), policy.max_lock_time.as_millis());
    // Before the first lock is requested: should this process stand still when it is granted, the server ends the
    // session after so long.
    client
        .batch_execute(&format!(
            "set local lock_timeout = '{budget}ms'; set local idle_in_transaction_session_timeout = '{most}ms'"
        ))
        .await?;
    let asked = Instant::now();
    for statement in request.statements(mode, attempt, &owner) {
        // lock_timeout applies to each lock separately, statement_timeout to each statement. We need one budget for
        // all.
        let left = policy.lock_timeout.saturating_sub(asked.elapsed()).as_millis();
        if left == 0 {
            return Err(Error::new(Kind::Transient, "the time limit of the lock request is over"));
        }
        client.batch_execute(&format!("set local statement_timeout = '{left}ms'; {statement}")).await?;
    }
    Ok(client.batch_execute(&format!("set local statement_timeout = '{most}ms'")).await?)
}
