//! The one place where a lock is asked for that could make the application wait.
//!
//! Others never queue behind our request for longer than `lock_timeout`, over all tables of it
//! together; past that we let go, stay away for a while and try again, saying who was in the way. We
//! look at `pg_locks` first and do not even ask while a long transaction holds what we want.
//! `lock_timeout` stays below the server's `deadlock_timeout`, so that in a deadlock it is we who give way.

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

/// How long and how often to ask.
#[derive(Debug, Clone, Copy)]
pub struct LockPolicy {
    /// The longest that others may queue behind one request, over all of its tables.
    pub lock_timeout: Duration,
    /// The longest that the application may wait behind locks that we hold.
    pub max_lock_time: Duration,
    /// How many attempts before giving up.
    pub attempts: u32,
    /// After asking in vain for so long, end the sessions that hold the table itself. `None`: never.
    pub kill_blockers_after: Option<Duration>,
}

impl LockPolicy {
    /// The same, asking for no longer than half of the server's `deadlock_timeout`: waits that are each
    /// short add up, and who waits for longer than it may be ended by the server as a deadlock's victim.
    #[must_use]
    pub fn under(mut self, deadlock_timeout: Duration) -> Self {
        self.lock_timeout = self.lock_timeout.min(deadlock_timeout / 2).max(Duration::from_millis(1));
        self
    }
}

impl LockMode {
    /// The modes of others that keep us from having it.
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

impl LockStory {
    /// As it is written down: nothing was held.
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

/// A holder older than this is not waited for with others queueing behind us.
const LONG_TRANSACTION: Duration = Duration::from_secs(1);

/// How often to look whether a transaction whose age is hidden from us has ended.
const LOOK: Duration = Duration::from_millis(50);

/// One thing to be done under a lock, and how often that was tried.
pub struct Locking<'a> {
    run: &'a Run,
    tables: Vec<i64>,
    purpose: Purpose,
    policy: LockPolicy,
    began: Instant,
    sightings: Sightings,
    /// What asking has cost so far.
    pub story: LockStory,
}

impl<'a> Locking<'a> {
    /// Nothing is requested yet. `tables` are the table changes for which `status` shows how it stands.
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
    /// When it returns, nothing but SET and LOCK was done in the transaction: its first snapshot is still
    /// to be taken. The caller commits, or rolls back and may ask again.
    ///
    /// # Errors
    /// [`Kind::Transient`] never; [`Kind::Failed`] after the last attempt, naming those in the way.
    pub async fn acquire(&mut self, request: &Request, mode: LockMode) -> Result<()> {
        while !self.try_acquire(request, mode).await? {
            self.wait(request, mode).await?;
        }
        Ok(())
    }

    /// Asks once, if it makes sense to ask. `true`: the transaction is open and holds the locks.
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

    /// Stays away for a while after an attempt that failed, or gives up. Writes down how it stands, for
    /// `status` in another terminal.
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

    /// Those in the way whose transactions are long and will not give way, in words. Where a transaction's
    /// age is hidden from us we look for as long as a short one lasts, with nobody queueing behind us.
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
            "could not lock table {} for {} ({} attempts of {} ms)",
            tables.join(", "),
            self.purpose.as_str(),
            self.policy.attempts,
            self.policy.lock_timeout.as_millis()
        ))
        .hint("Wait for those in the way to finish, then run the same command again.");
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
    // Blocks no reader and no writer, but makes a plain autovacuum give way: that happens after
    // deadlock_timeout (1 s by default), which attempts as short as ours never reach.
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
        // lock_timeout counts for each lock anew, statement_timeout for each statement: one budget for all.
        let left = policy.lock_timeout.saturating_sub(asked.elapsed()).as_millis();
        if left == 0 {
            return Err(Error::new(Kind::Transient, "the time to ask for locks is over"));
        }
        client.batch_execute(&format!("set local statement_timeout = '{left}ms'; {statement}")).await?;
    }
    Ok(client.batch_execute(&format!("set local statement_timeout = '{most}ms'")).await?)
}
