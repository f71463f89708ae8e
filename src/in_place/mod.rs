//! Runs the steps of a change without a copy, and undoes them.
//!
//! Relies on the trial: no step under a lock reads or writes rows. If that has changed since, the step is rolled back
//! after `--max-lock-time`.
//! Run twice: each step is recorded in its own transaction, with the oid of the object that it created and the table's
//! new definition. If another session has changed the definition, the run stops.

mod concurrently;

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::alter::LockMode;
use crate::catalog::{Fingerprint, find_name, find_table};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::lock::{Hold, LockPolicy, Locking, Purpose, Request, Target, may_lock};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::in_place::How;
use crate::run::events::{Detail, Note, Outcome, Unit, Work};
use crate::run::{Run, definition};
use crate::state::{Migration, Phase, StoredStep, TableChange, load_steps, mark_done, mark_undone};

/// Runs the remaining steps, and ends the migration with the last one.
pub async fn change(
    run: &Run,
    migration: &mut Migration,
    change: &TableChange,
    policy: LockPolicy,
) -> Result<()> {
    let client = &run.control;
    let digest = Fingerprint::plan(client, change.original_oid).await?;
    let mut known = change.fingerprint.clone();
    let steps = load_steps(client, change.id).await?;
    let count = steps.len();
    for stored in steps.into_iter().filter(|stored| !stored.is_done) {
        run.events.began(Work::Step);
        let statements = stored.step.statements.clone();
        let detail = Detail::Statements(statements.clone());
        run.events.progressed(i64::from(stored.ordinal) - 1, count as i64, Unit::Steps, detail);
        let work = Pending { run, change, stored: &stored, digest: &digest, known: &known, policy };
        // When it returns, a transaction that records the step is open.
        let made = match &stored.step.how {
            How::MakeIndex(index) => work.make_index(index).await.map(Some),
            How::DropIndex(oid) => work.drop_index(*oid).await.map(|()| None),
            How::UnderLock { makes, .. } => work.in_transaction(makes.as_ref()).await,
            How::Online => work.in_transaction(None).await,
        }?;
        known = digest.of(client, change.original_oid).await?;
        mark_done(client, change.id, stored.ordinal, made, &known).await?;
        let is_last = stored.ordinal as usize == count;
        if is_last {
            migration.advance(client, Phase::Finished).await?;
        }
        client.batch_execute("commit").await?;
        run.events.ended(Outcome::Ran(statements));
        if !is_last {
            Failpoint::StepDone.pass();
        }
    }
    Ok(())
}

/// A step to run.
struct Pending<'a> {
    run: &'a Run,
    change: &'a TableChange,
    stored: &'a StoredStep,
    digest: &'a Fingerprint,
    /// The definition of the table after the step before.
    known: &'a str,
    policy: LockPolicy,
}

impl Pending<'_> {
    async fn make_index(&self, index: &Ident) -> Result<u32> {
        let Pending { run, change, stored, .. } = *self;
        let client = &run.control;
        self.expect_table().await?;
        if !stored.is_begun {
            definition::expect_known(client, self.digest, change, self.known).await?;
        }
        let made = concurrently::make(run, change, stored, index).await;
        let made = made.map_err(|error| failed(error, change, stored))?;
        client.batch_execute("begin").await?;
        Ok(made)
    }

    /// Whatever the current definition of the table is: the oid identifies the index.
    async fn drop_index(&self, oid: u32) -> Result<()> {
        let Pending { run, change, stored, .. } = *self;
        let client = &run.control;
        concurrently::drop(client, change, stored, oid)
            .await
            .map_err(|error| failed(error, change, stored))?;
        Ok(client.batch_execute("begin").await?)
    }

    /// It creates a constraint with this name.
    async fn in_transaction(&self, makes: Option<&Ident>) -> Result<Option<u32>> {
        let Pending { run, change, stored, policy, .. } = *self;
        let client = &run.control;
        self.expect_table().await?;
        acquire(run, change, &change.name, &stored.step.how, policy).await?;
        let hold = Hold::begin(policy);
        let done = self.under_lock(hold, makes).await;
        if let Err(error) = &done
            && error.kind != Kind::ConnectionLost
        {
            client.batch_execute("rollback").await?;
        }
        done
    }

    async fn under_lock(&self, hold: Hold, makes: Option<&Ident>) -> Result<Option<u32>> {
        let Pending { run, change, stored, .. } = *self;
        let client = &run.control;
        definition::expect_known(client, self.digest, change, self.known).await?;
        for statement in &stored.step.statements {
            if stored.step.is_short() {
                hold.limit(client).await.map_err(|error| failed(error, change, stored))?;
            }
            if let Err(error) = client.batch_execute(statement).await {
                return Err(failed(hold.reason(error.into()), change, stored));
            }
        }
        note_held(client, change, stored, hold.elapsed()).await?;
        match makes {
            Some(constraint) => find_constraint(client, change, constraint).await,
            None => Ok(None),
        }
    }

    /// Makes sure that the table's name still means the planned table.
    async fn expect_table(&self) -> Result<()> {
        let Pending { run, change, .. } = *self;
        let client = &run.control;
        if find_table(client, &change.name.to_string()).await? == Some(change.original_oid) {
            return Ok(());
        }
        Err(Error::needs_person(format!("{} is no longer the table that was planned", change.name.shown()))
            .because("another session has dropped, renamed or moved the planned table")
            .state("the steps so far are done, this one has not begun")
            .hint("Undo that change and run the same command again, or run `pgrecast abort`."))
    }
}

async fn find_constraint(client: &Client, change: &TableChange, name: &Ident) -> Result<Option<u32>> {
    let found = sql!("in_place/find_constraint.sql").text();
    let row = client.query_opt(&found, &[&change.original_oid, &name.as_str()]).await?;
    row.map(|row| Ok(row.try_get("oid")?)).transpose()
}

/// Whether a step was done that cannot be undone.
pub async fn is_final(client: &Client, change: &TableChange) -> Result<bool> {
    let steps = load_steps(client, change.id).await?;
    Ok(steps.iter().any(|stored| match &stored.step.how {
        How::DropIndex(_) => stored.is_begun || stored.is_done,
        How::UnderLock { makes: None, .. } => stored.is_done,
        _ => false,
    }))
}

/// Undoes the steps of an unfinished migration. It only drops objects that a step created. If the table was dropped,
/// they are gone with it.
pub async fn undo(run: &Run, change: &TableChange, policy: LockPolicy) -> Result<()> {
    let client = &run.control;
    for stored in load_steps(client, change.id).await?.into_iter().rev() {
        let Some(table) = find_name(client, change.original_oid).await? else { return Ok(()) };
        match &stored.step.how {
            How::MakeIndex(index) if stored.is_begun || stored.is_done => {
                concurrently::undo(run, change, &stored, index).await?;
                mark_undone(client, change.id, stored.ordinal).await?;
            }
            How::UnderLock { makes: Some(constraint), leading, following, .. } if stored.is_done => {
                // Dropping a constraint always needs the strongest lock.
                let how = How::UnderLock {
                    mode: LockMode::AccessExclusive,
                    leading: leading.clone(),
                    following: following.clone(),
                    makes: None,
                };
                acquire(run, change, &table, &how, policy).await?;
                let undone = drop_constraint(run, change, &stored, &table, constraint).await;
                client.batch_execute(if undone.is_ok() { "commit" } else { "rollback" }).await?;
                undone?;
            }
            _ => continue,
        }
        Failpoint::StepUndone.pass();
    }
    Ok(())
}

/// Drops the constraint by its oid, in the open transaction, which has locked the table.
async fn drop_constraint(
    run: &Run,
    change: &TableChange,
    stored: &StoredStep,
    table: &QualifiedName,
    planned_name: &Ident,
) -> Result<()> {
    let client = &run.control;
    let find = sql!("in_place/find_constraint_name.sql").text();
    if let Some(row) = client.query_opt(&find, &[&change.original_oid, &stored.object_oid]).await? {
        let name = Ident::new(row.try_get::<_, String>("name")?);
        client.batch_execute(&format!("alter table {table} drop constraint {name}")).await?;
    } else if find_constraint(client, change, planned_name).await?.is_some() {
        run.events.noted(Note::NotOurs { kind: "constraint", name: planned_name.shown() });
    }
    mark_undone(client, change.id, stored.ordinal).await
}

async fn acquire(
    run: &Run,
    change: &TableChange,
    name: &QualifiedName,
    how: &How,
    policy: LockPolicy,
) -> Result<()> {
    let client = &run.control;
    let mut locking = Locking::new(run, &[change.id], Purpose::Step, policy);
    let main = Target::table(name, change.original_oid);
    let (mode, targets, at) = match how {
        How::UnderLock { mode, leading, following, .. } => {
            let mut targets = Vec::new();
            for table in leading {
                targets.extend(target(client, table).await?);
            }
            let at = targets.len();
            targets.push(main);
            for table in following {
                targets.extend(target(client, table).await?);
            }
            (*mode, targets, at)
        }
        _ => (LockMode::ShareUpdateExclusive, vec![main], 0),
    };
    locking.acquire(&Request { targets, mains: vec![at] }, mode).await
}

/// Another table to lock; none if this role may not lock it: then the statement itself acquires the lock.
async fn target(client: &Client, table: &QualifiedName) -> Result<Option<Target>> {
    let Some(oid) = find_table(client, &table.to_string()).await? else { return Ok(None) };
    Ok(may_lock(client, oid).await?.then(|| Target::table(table, oid)))
}

/// Records for `status` how long the strongest lock was held.
async fn note_held(client: &Client, change: &TableChange, stored: &StoredStep, held: Duration) -> Result<()> {
    if matches!(stored.step.how, How::UnderLock { mode: LockMode::AccessExclusive, .. }) {
        change.record_held(client, held.as_secs_f64() * 1000.0).await?;
    }
    Ok(())
}

fn failed(error: Error, change: &TableChange, stored: &StoredStep) -> Error {
    let table = change.name.name.shown();
    let is = |states: &[SqlState]| states.iter().any(|state| error.is_sqlstate(state));
    let is_data = is(&[
        SqlState::UNIQUE_VIOLATION,
        SqlState::CHECK_VIOLATION,
        SqlState::NOT_NULL_VIOLATION,
        SqlState::FOREIGN_KEY_VIOLATION,
        SqlState::EXCLUSION_VIOLATION,
    ]);
    let error = error
        .context(format!("step {} failed: {}", stored.ordinal, stored.step.statements.join("; ")))
        .state(match stored.ordinal {
            1 => "nothing was changed".to_owned(),
            before => format!(
                "the table is in use; this step was not done, {} before it are. A constraint that is NOT VALID already rejects \
                 new rows that violate it, and every UPDATE of an existing row that violates it",
                before - 1
            ),
        });
    if is_data {
        error.with_kind(Kind::NeedsPerson).hint(format!(
            "Correct the rows and run `pgrecast run {table}` to continue, or `pgrecast abort {table}` to undo the steps so \
             far."
        ))
    } else {
        error
    }
}
