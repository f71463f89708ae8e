//! Which step comes next: loads the phase, runs the step that it asks for, and goes on; one exhaustive
//! match. Every command of the program is a function here.

mod drive;
mod find;
mod lease;
mod status;

use std::future::Future;
use std::time::Duration;

use tokio_postgres::Client;
use uuid::Uuid;

pub use status::Status;

use crate::alter::TableRef;
use crate::cleanup;
use crate::copy::CopyOptions;
use crate::db::{Session, Sessions};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::in_place;
use crate::lock::LockPolicy;
use crate::name::{Ident, sql};
use crate::pair::{Direction, Pair};
use crate::plan::risk::Risk;
use crate::plan::{Plan, Side, risk};
use crate::preview::check_data;
use crate::preview::{Examination, examine};
use crate::replay::level::bring_level;
use crate::run::events::Watch;
use crate::shadow::Request;
use crate::state::{self, Asked, Migration, NewMigration, Phase, TableChange};
use crate::swap;
use crate::swap::finish;
use crate::swap::matviews;

/// How to work. May differ from run to run of one migration.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How to copy.
    pub copy: CopyOptions,
    /// How to ask for locks.
    pub lock: LockPolicy,
    /// How long to wait for transactions whose snapshot is older than the new table, or than the swap.
    pub snapshot_timeout: Duration,
    /// Indexes that are built at the same time.
    pub index_jobs: usize,
    /// Memory for each of them, in kB.
    pub maintenance_work_mem: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            copy: CopyOptions::new(1, None, 1.5),
            lock: LockPolicy {
                lock_timeout: Duration::from_millis(300),
                max_lock_time: Duration::from_millis(300),
                attempts: 60,
                kill_blockers_after: None,
            },
            snapshot_timeout: Duration::from_mins(10),
            index_jobs: 1,
            maintenance_work_mem: None,
        }
    }
}

/// Runs commands against one database.
pub struct Engine {
    sessions: Sessions,
    options: Options,
    watch: Watch,
}

impl Engine {
    /// An engine that opens its sessions by `sessions` and tells `watch` how far it is.
    #[must_use]
    pub fn new(sessions: Sessions, options: Options, watch: Watch) -> Self {
        Engine { sessions, options, watch }
    }

    /// Looks at a table and says what a change would do. Changes nothing.
    /// With `checks_data` it reads all rows too, with `takes_sample` it copies some and undoes that.
    pub async fn plan(
        &self,
        table: &TableRef,
        request: &Request,
        checks_data: bool,
        takes_sample: bool,
    ) -> Result<Plan> {
        let client = self.sessions.open("plan").await?;
        let found = examine(&self.sessions, &client, table, request, takes_sample).await?;
        let mut plan = found.plan.clone();
        if checks_data {
            plan.risks.extend(self.check_data(&found, request).await?);
        }
        if let Some(open) = find::open_on_table(&client, table).await? {
            plan.risks.push(risk::open_migration(&plan.table, &open.short_id(), open.phase.as_str()));
        }
        Ok(plan)
    }

    async fn check_data(&self, found: &Examination, request: &Request) -> Result<Vec<Risk>> {
        let sessions = self.sessions.for_migration("-", &found.original.table.owner, &found.settings);
        let mut risks = check_data::of_proofs(&sessions, &found.proofs, &self.watch).await?;
        if let Some(blueprint) = &found.blueprint {
            let is_given = |column: &Ident| request.reverse.iter().any(|(name, _)| name == column);
            let copied =
                check_data::of_copy_risks(&sessions, &found.original, blueprint, is_given, &self.watch)
                    .await?;
            risks.extend(copied.into_iter().filter(|risk| !risks.contains(risk)).collect::<Vec<_>>());
        }
        Ok(risks)
    }

    /// Begins the migration, or goes on with the one that is open for this table if the same is asked.
    ///
    /// # Errors
    /// [`Kind::Usage`] when another change of this table is open.
    pub async fn begin(&self, table: &TableRef, request: &Request) -> Result<Uuid> {
        let client = self.sessions.open("begin").await?;
        let statements: Vec<String> = request
            .alter
            .statements
            .iter()
            .map(|statement| {
                let texts: Vec<&str> = statement.actions.iter().map(|action| action.text.as_str()).collect();
                texts.join(", ")
            })
            .collect();
        let reverse: Vec<String> =
            request.reverse.iter().map(|(column, expression)| format!("{column}={expression}")).collect();
        let filter = request.filter.as_ref().map(ToString::to_string);
        let asked = Asked {
            statements,
            reverse,
            filter,
            order: request.order.clone(),
            columns: request.columns.clone(),
        };
        if let Some(open) = find::open_on_table(&client, table).await? {
            return same_or_error(&open, &asked);
        }
        let found = examine(&self.sessions, &client, table, request, false).await?;
        refuse(&found.plan)?;
        self.write_down(&found, &asked).await
    }

    async fn write_down(&self, found: &Examination, asked: &Asked) -> Result<Uuid> {
        let id = Uuid::new_v4();
        let table = &found.original.table;
        let migration = NewMigration { id, owner: table.owner.clone(), settings: found.settings.clone() };
        let short = &id.simple().to_string()[..8];
        let session = self.sessions.for_migration(short, &table.owner, &found.settings).open("begin").await?;
        state::install(&session).await?;
        session.batch_execute("begin").await?;
        lease::only_one(&session, table.oid).await?;
        migration.insert(&session).await?;
        let fingerprint = crate::catalog::fingerprint(&session, table.oid).await?;
        let change = TableChange::insert(&session, id, 1, table, asked, &fingerprint).await?;
        state::store_steps(&session, change, &found.steps).await?;
        session.batch_execute("commit").await?;
        Failpoint::Planned.pass();
        Ok(id)
    }

    /// The migration that the user means: by id, unique prefix, or table; without a word the one that
    /// is open.
    pub async fn find(&self, word: Option<&str>, open_only: bool) -> Result<Uuid> {
        let client = self.sessions.open("find").await?;
        Ok(find::find(&client, word, open_only).await?.id)
    }

    /// Takes a migration to its end, or goes on after the swap: validates, brings the retired table
    /// level. `stop` ends it in a state from which it can go on.
    pub async fn run(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |control: &Session, sessions: &Sessions, options: Options| {
            let mut migration = Migration::load(control, id).await?;
            drive::drive(control, sessions, &mut migration, options, &self.watch).await
        })
        .await
    }

    /// Compares the tables of a migration now.
    pub async fn verify(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |control: &Session, sessions: &Sessions, _: Options| {
            let migration = Migration::load(control, id).await?;
            let direction = match migration.phase {
                Phase::Indexed | Phase::Level | Phase::Verified => Direction::Forward,
                Phase::Swapped => Direction::Reverse,
                other => {
                    return Err(Error::usage(format!(
                        "migration {} is {other}: there are no two tables to compare",
                        migration.short_id()
                    )));
                }
            };
            for change in &migration.tables {
                let pair = Pair::load(control, change, direction).await?;
                drive::verify(control, sessions, &migration, change, &pair, &self.watch).await?;
            }
            Ok(())
        })
        .await
    }

    /// Puts the original back in place, level with everything written since.
    pub async fn rollback(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |control: &Session, sessions: &Sessions, options: Options| {
            let mut migration = Migration::load(control, id).await?;
            match migration.phase {
                Phase::Swapped | Phase::RolledBack => {}
                other => {
                    let hint = if other.is_before_swap() { "abort" } else { "status" };
                    return Err(Error::usage(format!(
                        "migration {} is {other}: there is nothing to roll back",
                        migration.short_id()
                    ))
                    .hint(format!("Run `pgrecast {hint} {}`.", migration.short_id())));
                }
            }
            for change in migration.tables.clone() {
                if migration.phase == Phase::Swapped {
                    let pair = Pair::load(control, &change, Direction::Reverse).await?;
                    self.watch.begin("replay");
                    bring_level(control, sessions, migration.id, &change, &pair, &self.watch).await?;
                    matviews::fill(control, &change, Direction::Reverse).await?;
                    self.watch.end("the retired table is level");
                    drive::outwait_older(control, sessions, &migration, &change, &pair, options, &self.watch)
                        .await?;
                    drive::verify(control, sessions, &migration, &change, &pair, &self.watch).await?;
                    self.watch.begin("swap back");
                    let (held, story) = swap::swap(
                        control,
                        sessions,
                        &mut migration,
                        &change,
                        &pair,
                        options.lock,
                        &self.watch,
                    )
                    .await?;
                    self.watch.end(drive::lock_words(held, &story));
                }
                finish::validate(control, &change, Side::Original, options.lock, &self.watch).await?;
                finish::take_guard_off(control, &change, options.lock, options.snapshot_timeout, &self.watch)
                    .await?;
            }
            Ok(())
        })
        .await
    }

    /// Gives a migration up before its swap and takes everything of it away.
    pub async fn abort(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |control: &Session, _: &Sessions, options: Options| {
            let mut migration = Migration::load(control, id).await?;
            if !migration.phase.is_before_swap() {
                let hint = match migration.phase {
                    Phase::Swapped => {
                        "Run `pgrecast rollback` to go back, or `pgrecast cleanup` to keep the change."
                    }
                    _ => "There is nothing left to abort.",
                };
                return Err(Error::usage(format!(
                    "migration {} is {}",
                    migration.short_id(),
                    migration.phase
                ))
                .hint(hint));
            }
            for change in &migration.tables {
                if in_place::is_final(control, change).await? {
                    return Err(Error::usage("the change is made: what is left is to drop indexes")
                        .because("a dropped index can not be taken back")
                        .hint(format!("Run `pgrecast run {}` to finish.", migration.short_id())));
                }
                in_place::undo(control, &migration, change, options.lock, &self.watch).await?;
            }
            self.take_away(control, &mut migration, Some(Phase::Aborted), options).await
        })
        .await
    }

    /// Drops what a swapped or rolled back migration keeps for the way back.
    pub async fn cleanup(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |control: &Session, _: &Sessions, options: Options| {
            let mut migration = Migration::load(control, id).await?;
            let to = match migration.phase {
                Phase::Swapped => Some(Phase::Finished),
                phase if !phase.is_open() => None,
                phase => {
                    return Err(Error::usage(format!(
                        "migration {} is {phase}: it was not swapped yet",
                        migration.short_id()
                    ))
                    .hint(format!(
                        "Run `pgrecast run {0}` to go on, or `pgrecast abort {0}`.",
                        migration.short_id()
                    )));
                }
            };
            if to.is_some() {
                for change in &migration.tables {
                    finish::validate(control, change, Side::New, options.lock, &self.watch).await?;
                }
            }
            self.take_away(control, &mut migration, to, options).await
        })
        .await
    }

    async fn take_away(
        &self,
        control: &Client,
        migration: &mut Migration,
        to: Option<Phase>,
        options: Options,
    ) -> Result<()> {
        for change in &migration.tables {
            cleanup::triggers(control, change, options.lock, &self.watch).await?;
            Failpoint::TriggersOff.pass();
        }
        control.batch_execute("begin").await?;
        for change in &migration.tables {
            if let Err(error) = cleanup::objects(control, change).await {
                control.batch_execute("rollback").await?;
                return Err(error);
            }
        }
        if let Some(to) = to {
            migration.advance(control, to).await?;
        }
        Failpoint::ObjectsDropped.pass();
        control.batch_execute("commit").await?;
        Failpoint::TakenAway.pass();
        Ok(())
    }

    /// The migrations that keep a table for the way back, or of a rollback, for longer than this.
    pub async fn kept_for(&self, at_least: Duration) -> Result<Vec<Uuid>> {
        let client = self.sessions.open("find").await?;
        let mut old = Vec::new();
        for migration in Migration::list(&client, false).await? {
            let is_over = matches!(migration.phase, Phase::Swapped | Phase::RolledBack);
            if is_over && migration.swapped_ago.is_some_and(|ago| ago >= at_least) {
                let status = Status::read(&client, &migration).await?;
                old.extend(status.retired.map(|_| migration.id));
            }
        }
        Ok(old)
    }

    /// What is true of a migration now; readable while another process runs it.
    pub async fn status(&self, id: Uuid) -> Result<Status> {
        let client = self.sessions.open("status").await?;
        Status::read(&client, &Migration::load(&client, id).await?).await
    }

    /// All migrations, the newest first; or only those that are open or still keep a table.
    pub async fn list(&self, open_only: bool) -> Result<Vec<Status>> {
        let client = self.sessions.open("status").await?;
        let mut list = Vec::new();
        for migration in Migration::list(&client, false).await? {
            let status = Status::read(&client, &migration).await?;
            if !open_only || migration.phase.is_open() || status.retired.is_some() {
                list.push(status);
            }
        }
        Ok(list)
    }

    /// Does `work` as the one that leads this migration: under its owner and settings, with its lease,
    /// after orphans of a former run are gone. What fails is written down.
    async fn lead(
        &self,
        id: Uuid,
        stop: impl Future<Output = ()>,
        work: impl AsyncFnOnce(&Session, &Sessions, Options) -> Result<()>,
    ) -> Result<()> {
        let migration = Migration::load(&*self.sessions.open("find").await?, id).await?;
        let sessions = self
            .sessions
            .for_migration(&migration.short_id(), &migration.owner, &migration.settings)
            .nice(self.options.copy.nice_ratio > 0.0)
            .with_maintenance_work_mem(self.options.maintenance_work_mem);
        let control = sessions.open("control").await?;
        lease::take(&control, &migration, &self.watch).await?;
        let mut options = self.options;
        options.lock = options.lock.under(deadlock_timeout(&control).await?);
        let result = tokio::select! {
            result = Box::pin(work(&control, &sessions, options)) => result,
            () = stop => Err(Error::stopped("stopped on request")),
        };
        let Err(error) = result else {
            control.execute(&sql!("state/clear_error.sql").text(), &[&id]).await?;
            return Ok(());
        };
        // The connection of a stopped or failed step may be in any state: a new one tells what is true.
        drop(control);
        let tidy = sessions.open("tidy").await;
        let Ok(tidy) = tidy else { return Err(error) };
        if let Err(orphans) = lease::end_orphans(&tidy, &migration).await {
            tracing::warn!(error = %orphans, "could not end the sessions of this run");
        }
        let now = Migration::load(&tidy, id).await?;
        let error = describe(error, &now);
        if error.kind == Kind::Usage {
            return Err(error); // says nothing about the migration
        }
        now.record_error(&tidy, &error).await?;
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

/// Says in which state a stopped or failed migration is, and how it goes on.
fn describe(error: Error, migration: &Migration) -> Error {
    let id = migration.short_id();
    let state = match migration.phase {
        Phase::Planned if migration.needs_no_copy => {
            "the table is in use; steps that are done stay, and an index whose build was stopped stays invalid until it \
             goes on or is aborted"
        }
        Phase::Planned | Phase::Shadowed => "the table is unchanged; nothing is captured yet",
        Phase::Swapped => "the new table is in place; its changes are captured for the way back",
        phase if phase.is_before_swap() => {
            "the table is unchanged and in use; changes are being captured, all work so far is kept"
        }
        _ => "the migration has ended",
    };
    let hint = if migration.phase.is_before_swap() {
        format!("Run `pgrecast run {id}` to go on, or `pgrecast abort {id}`.")
    } else if migration.phase == Phase::Swapped {
        format!("Run `pgrecast run {id}` to go on with the change, or `pgrecast rollback {id}` to go back.")
    } else {
        format!("Run `pgrecast status {id}`.")
    };
    let is_usage = error.kind == Kind::Usage;
    let error = error.state(format!("{} ({})", state, migration.phase));
    if is_usage { error } else { error.hint(hint) }
}

fn same_or_error(open: &Migration, asked: &Asked) -> Result<Uuid> {
    if open.tables.iter().all(|table| table.asked == *asked) {
        return Ok(open.id);
    }
    let id = open.short_id();
    let known: Vec<String> = open.tables.iter().map(|table| table.asked.shown()).collect();
    Err(Error::usage(format!("another change of {} is open: migration {id} ({})", open.shown(), open.phase))
        .because(format!("it was asked for: {}", known.join("; ")))
        .state("nothing was changed")
        .hint(if open.phase == Phase::Swapped {
            format!("Run `pgrecast cleanup {id}` to keep that change, or `pgrecast rollback {id}`.")
        } else {
            format!("Run `pgrecast run {id}` to go on with it, or `pgrecast abort {id}`.")
        }))
}

/// The error for a plan with refusals.
///
/// # Errors
/// [`Kind::Refused`] naming every one.
pub fn refuse(plan: &Plan) -> Result<()> {
    let Some(first) = plan.refusals.first() else { return Ok(()) };
    let lines: Vec<String> = plan
        .refusals
        .iter()
        .map(|refusal| {
            let hint = refusal.hint.as_ref().map(|hint| format!(" {hint}")).unwrap_or_default();
            format!("{} {}: {}.{hint}", refusal.code, refusal.object, refusal.message)
        })
        .collect();
    Err(Error::refused(first.code, format!("{} can not be changed this way", plan.table))
        .because(lines.join("\n  "))
        .state("nothing was changed"))
}
