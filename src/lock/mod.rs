//! The one place where a lock is asked for that could make the application wait.
//!
//! Others never queue behind our request for longer than `lock_timeout`, over all tables of it
//! together; past that we let go, stay away for a while and try again, saying who was in the way. We
//! look at `pg_locks` first and do not even ask while a long transaction holds what we want.
//! `lock_timeout` stays below the server's `deadlock_timeout`, so that in a deadlock it is we who give way.

pub mod holders;

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::alter::LockMode;
use crate::error::{Error, Kind, Result};
use crate::name::{Fragment, Ident, QualifiedName, sql};
use crate::pace::backoff;
use crate::run::events::Watch;
use holders::Sightings;

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

/// A relation to be locked.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: QualifiedName,
    /// Its oid.
    pub oid: u32,
    /// For a view, the role that may and the role that owns it: LOCK TABLE would lock all that the view reads, and takes no materialized
    /// view.
    pub view_of: Option<(Ident, Ident)>,
    /// With all of its partitions.
    pub is_partitioned: bool,
}

impl Target {
    /// A table.
    #[must_use]
    pub fn table(name: &QualifiedName, oid: u32) -> Self {
        Target { name: name.clone(), oid, view_of: None, is_partitioned: false }
    }

    /// A partitioned table and its partitions.
    #[must_use]
    pub fn partitioned(name: &QualifiedName, oid: u32) -> Self {
        Target { is_partitioned: true, ..Self::table(name, oid) }
    }
}

impl Target {
    /// As LOCK TABLE names it.
    fn words(&self) -> String {
        format!("{}{}", if self.is_partitioned { "" } else { "only " }, self.name)
    }
}

/// The relations of one request, in the order in which applications lock them: what leads to the table, as a view
/// or a referencing table does, before it, and what the table leads to after it. Who locks the other way round
/// waits for those who wait for him.
#[derive(Debug, Clone)]
pub struct Request {
    /// In that order.
    pub targets: Vec<Target>,
    /// Which of them is the one that applications know by the migration's name.
    pub main: usize,
}

impl Request {
    /// For one table.
    #[must_use]
    pub fn table(name: &QualifiedName, oid: u32) -> Self {
        Request { targets: vec![Target::table(name, oid)], main: 0 }
    }

    fn oids(&self) -> Vec<u32> {
        self.targets.iter().map(|target| target.oid).collect()
    }

    fn table_name(&self) -> &QualifiedName {
        &self.targets[self.main].name
    }

    /// The statements that take the locks. Traffic may go either way: every second attempt asks the other way round.
    fn statements(&self, mode: LockMode, attempt: u32, owner: &str) -> Vec<String> {
        let mut targets: Vec<&Target> = self.targets.iter().collect();
        if attempt.is_multiple_of(2) {
            targets.reverse();
        }
        targets
            .chunk_by(|a, b| a.view_of.is_none() && b.view_of.is_none())
            .map(|together| {
                if let Target { name, view_of: Some((role, view_owner)), .. } = together[0] {
                    // Changes nothing, and takes ACCESS EXCLUSIVE on the view alone.
                    return format!(
                        "set local role {role}; alter table {name} owner to {view_owner}; set local role {owner}"
                    );
                }
                let names = Fragment::join(together.iter().map(|target| target.words()), ", ");
                format!("lock table {names} in {} mode", mode.as_str())
            })
            .collect()
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

/// What a lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Putting the capture triggers on.
    Capture,
    /// Exchanging the tables, in either direction.
    Swap,
    /// Taking the guard of a swap off.
    Guard,
    /// Validating a foreign key.
    Validation,
    /// Dropping the capture triggers.
    Removal,
    /// A step of a change that needs no copy.
    Step,
}

impl Purpose {
    fn words(self) -> &'static str {
        match self {
            Purpose::Capture => "the capture triggers",
            Purpose::Swap => "the swap",
            Purpose::Guard => "taking the guard off",
            Purpose::Validation => "validating a foreign key",
            Purpose::Removal => "dropping the capture triggers",
            Purpose::Step => "the change",
        }
    }

    /// Whether `status` shows how the request stands. What is shown after a swap is the swap's.
    fn is_shown(self) -> bool {
        matches!(self, Purpose::Capture | Purpose::Swap | Purpose::Step)
    }
}

/// A holder older than this is not waited for with others queueing behind us.
const LONG_TRANSACTION: Duration = Duration::from_secs(1);

/// How often to look whether a transaction whose age is hidden from us has ended.
const LOOK: Duration = Duration::from_millis(50);

/// One thing to be done under a lock, and how often that was tried.
pub struct Locking<'a> {
    client: &'a Client,
    migration: Uuid,
    purpose: Purpose,
    policy: LockPolicy,
    watch: &'a Watch,
    began: Instant,
    sightings: Sightings,
    /// What asking has cost so far.
    pub story: LockStory,
}

impl<'a> Locking<'a> {
    /// Nothing is asked for yet.
    #[must_use]
    pub fn new(
        client: &'a Client,
        migration: Uuid,
        purpose: Purpose,
        policy: LockPolicy,
        watch: &'a Watch,
    ) -> Self {
        Locking {
            client,
            migration,
            purpose,
            policy,
            watch,
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
        let result = ask(self.client, request, mode, self.policy, self.story.attempts).await;
        self.story.waited += asked.elapsed();
        let Err(error) = result else { return Ok(true) };
        if error.kind == Kind::ConnectionLost {
            return Err(error);
        }
        self.client.batch_execute("rollback").await?;
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
        if self.purpose.is_shown() {
            let waited = story.waited.as_secs_f64() * 1000.0;
            self.client
                .execute(
                    &sql!("lock/record_attempts.sql").text(),
                    &[&self.migration, &(story.attempts as i32), &waited, &story.blockers],
                )
                .await?;
        }
        if story.attempts >= self.policy.attempts {
            return Err(self.given_up(request));
        }
        let in_the_way = story.blockers.join("; ");
        let who = if in_the_way.is_empty() { String::new() } else { format!(": {in_the_way}") };
        self.watch.note(format!(
            "attempt {} of {} for {} was in vain{who}",
            story.attempts,
            self.policy.attempts,
            self.purpose.words()
        ));
        if let Some(limit) = self.policy.kill_blockers_after
            && self.began.elapsed() >= limit
        {
            for ended in
                holders::end(self.client, request.targets[request.main].oid, mode.conflicts()).await?
            {
                self.watch.note(format!("--kill-blockers-after: {ended}"));
            }
        }
        let random = Uuid::new_v4().as_u128() as u64;
        tokio::time::sleep(backoff(self.story.attempts, random)).await;
        Ok(())
    }

    async fn holders(&mut self, request: &Request, mode: LockMode) -> Result<Vec<holders::Holder>> {
        let found = holders::list(self.client, &request.oids(), mode.conflicts()).await?;
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
        let first = request.table_name().shown();
        let error = Error::failed(format!(
            "could not lock table {first} for {} ({} attempts of {} ms)",
            self.purpose.words(),
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

/// Since when the locks are held, and for how long they may be.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    since: Instant,
    most: Duration,
}

impl Hold {
    /// From now on.
    #[must_use]
    pub fn begin(policy: LockPolicy) -> Self {
        Hold { since: Instant::now(), most: policy.max_lock_time }
    }

    /// How long by now.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.since.elapsed()
    }

    /// Whether less than a millisecond is left: the server counts whole ones, and 0 would mean no limit.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.elapsed() + Duration::from_millis(1) > self.most
    }

    /// Leaves the server no more time for a statement than is left in all: it holds to that also when
    /// this process stands still.
    ///
    /// # Errors
    /// [`Kind::Transient`] when none is left.
    pub async fn limit(self, client: &Client) -> Result<()> {
        if self.is_over() {
            return Err(self.exceeded());
        }
        let left = self.most.saturating_sub(self.elapsed()).as_millis().max(1);
        Ok(client.batch_execute(&format!("set local statement_timeout = '{left}ms'")).await?)
    }

    /// That it was too long.
    #[must_use]
    pub fn exceeded(self) -> Error {
        Error::new(
            Kind::Transient,
            format!("it took longer than {} ms under its locks", self.most.as_millis()),
        )
        .hint("Choose a quieter time, or allow it more with --max-lock-time.")
    }

    /// Why it really failed, when the server held to the limit.
    #[must_use]
    pub fn reason(self, error: Error) -> Error {
        let is_cut_off = error.is_sqlstate(&SqlState::QUERY_CANCELED)
            || error.is_sqlstate(&SqlState::IN_FAILED_SQL_TRANSACTION);
        if is_cut_off && self.is_over() { self.exceeded() } else { error }
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
            "set local lock_timeout = '2500ms'; lock table only {} in share update exclusive mode",
            request.table_name()
        ))
        .await?;
    if mode == LockMode::ShareUpdateExclusive {
        return Ok(());
    }
    let owner: String =
        client.query_one("select pg_catalog.quote_ident(current_user)", &[]).await?.try_get(0)?;
    let (budget, most) = (policy.lock_timeout.as_millis(), policy.max_lock_time.as_millis());
    client
        .batch_execute(&format!(
            "set local lock_timeout = '{budget}ms';\
             set local idle_in_transaction_session_timeout = '{}ms'",
            most + 5000
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
    client
        .batch_execute(&format!(
            "set local statement_timeout = '{most}ms'; set local idle_in_transaction_session_timeout = '{most}ms'"
        ))
        .await?;
    Ok(())
}
