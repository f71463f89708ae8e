//! Runs the steps of a change that needs no copy, and takes them back.
//!
//! Relies on the trial: no step under a lock reads or writes rows. Should that have changed since, it lets go after
//! `--max-lock-time` and nothing is done.
//! Run twice: what is done is marked so in its own transaction, with the oid of what it made and the table's definition
//! since; a definition that somebody else changed stops it.

mod concurrently;

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::alter::LockMode;
use crate::catalog::{Fingerprint, find_name, find_table};
use crate::db::{Session, Sessions};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::lock::{Hold, LockPolicy, Locking, Purpose, Request, Target, may_lock};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::in_place::How;
use crate::run::definition;
use crate::run::events::Watch;
use crate::state::{Migration, Phase, StoredStep, TableChange, load_steps, mark_done, mark_undone};

/// Runs what is not done yet, and ends the migration with the last step.
pub async fn run(
    client: &Session,
    sessions: &Sessions,
    migration: &mut Migration,
    change: &TableChange,
    policy: LockPolicy,
    watch: &Watch,
) -> Result<()> {
    let digest = Fingerprint::plan(client, change.original_oid).await?;
    let mut known = change.fingerprint.clone();
    let steps = load_steps(client, change.id).await?;
    let count = steps.len();
    for stored in steps.into_iter().filter(|stored| !stored.is_done) {
        watch.begin("step");
        let words = stored.step.statements.join("; ");
        watch.progress(i64::from(stored.ordinal) - 1, count as i64, "steps", words.clone());
        let work = Work {
            client,
            migration,
            change,
            stored: &stored,
            digest: &digest,
            known: &known,
            policy,
            watch,
        };
        // When it returns, a transaction is open that marks it done.
        let made = match &stored.step.how {
            How::MakeIndex(index) => work.make_index(sessions, index).await.map(Some),
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
        watch.end(words);
        if !is_last {
            Failpoint::StepDone.pass();
        }
    }
    Ok(())
}

/// A step that is to be run.
struct Work<'a> {
    client: &'a Session,
    migration: &'a Migration,
    change: &'a TableChange,
    stored: &'a StoredStep,
    digest: &'a Fingerprint,
    /// How the table was defined after the step before.
    known: &'a str,
    policy: LockPolicy,
    watch: &'a Watch,
}

impl Work<'_> {
    async fn make_index(&self, sessions: &Sessions, index: &Ident) -> Result<u32> {
        let Work { client, change, stored, .. } = *self;
        self.expect_table().await?;
        if !stored.is_begun {
            definition::expect_known(client, self.digest, change, self.known).await?;
        }
        let made = concurrently::make(client, sessions, change, stored, index, self.watch).await;
        let made = made.map_err(|error| failed(error, change, stored))?;
        client.batch_execute("begin").await?;
        Ok(made)
    }

    /// Whatever the table's definition is by now: the index is known by its oid.
    async fn drop_index(&self, oid: u32) -> Result<()> {
        let Work { client, change, stored, .. } = *self;
        concurrently::drop(client, change, stored, oid)
            .await
            .map_err(|error| failed(error, change, stored))?;
        Ok(client.batch_execute("begin").await?)
    }

    /// What it makes is a constraint of this name.
    async fn in_transaction(&self, makes: Option<&Ident>) -> Result<Option<u32>> {
        let Work { client, change, stored, policy, .. } = *self;
        self.expect_table().await?;
        acquire(
            client,
            self.migration,
            (&change.name, change.original_oid),
            &stored.step.how,
            policy,
            self.watch,
        )
        .await?;
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
        let Work { client, change, stored, .. } = *self;
        definition::expect_known(client, self.digest, change, self.known).await?;
        for statement in &stored.step.statements {
            if stored.step.is_short() {
                hold.limit(client).await.map_err(|error| failed(error, change, stored))?;
            }
            if let Err(error) = client.batch_execute(statement).await {
                return Err(failed(hold.reason(error.into()), change, stored));
            }
        }
        note_held(client, self.migration, stored, hold.elapsed()).await?;
        match makes {
            Some(constraint) => find_constraint(client, change, constraint).await,
            None => Ok(None),
        }
    }

    /// Makes sure that the table's name still means the table that was planned for.
    async fn expect_table(&self) -> Result<()> {
        let Work { client, change, .. } = *self;
        if find_table(client, &change.name.to_string()).await? == Some(change.original_oid) {
            return Ok(());
        }
        Err(Error::needs_person(format!(
            "{} is not the table any more that was planned for",
            change.name.shown()
        ))
        .because("it was dropped, renamed or moved by somebody else")
        .state("the steps so far are done, this one was not begun")
        .hint("Take that back and run the same command again, or `pgrecast abort`."))
    }
}

async fn find_constraint(client: &Client, change: &TableChange, name: &Ident) -> Result<Option<u32>> {
    let found = sql!("in_place/find_constraint.sql").text();
    let row = client.query_opt(&found, &[&change.original_oid, &name.as_str()]).await?;
    row.map(|row| Ok(row.try_get("oid")?)).transpose()
}

/// Whether something was done that nothing takes back.
pub async fn is_final(client: &Client, change: &TableChange) -> Result<bool> {
    let steps = load_steps(client, change.id).await?;
    Ok(steps.iter().any(|stored| match &stored.step.how {
        How::DropIndex(_) => stored.is_begun || stored.is_done,
        How::UnderLock { makes: None, .. } => stored.is_done,
        _ => false,
    }))
}

/// Takes back what was done of a migration that did not come to its end. What is not the very object that a step made is
/// left alone; a table that is gone has taken everything along.
pub async fn undo(
    client: &Client,
    migration: &Migration,
    change: &TableChange,
    policy: LockPolicy,
    watch: &Watch,
) -> Result<()> {
    for stored in load_steps(client, change.id).await?.into_iter().rev() {
        let Some(table) = find_name(client, change.original_oid).await? else { return Ok(()) };
        match &stored.step.how {
            How::MakeIndex(index) if stored.is_begun || stored.is_done => {
                concurrently::undo(client, change, &stored, index, watch).await?;
                mark_undone(client, change.id, stored.ordinal).await?;
            }
            How::UnderLock { makes: Some(constraint), leading, following, .. } if stored.is_done => {
                // A constraint is dropped under the strongest lock of all, whatever made it.
                let how = How::UnderLock {
                    mode: LockMode::AccessExclusive,
                    leading: leading.clone(),
                    following: following.clone(),
                    makes: None,
                };
                acquire(client, migration, (&table, change.original_oid), &how, policy, watch).await?;
                let undone = drop_constraint(client, change, &stored, &table, constraint, watch).await;
                client.batch_execute(if undone.is_ok() { "commit" } else { "rollback" }).await?;
                undone?;
            }
            _ => continue,
        }
        Failpoint::StepUndone.pass();
    }
    Ok(())
}

/// By its oid, in the transaction that is open and has locked the table.
async fn drop_constraint(
    client: &Client,
    change: &TableChange,
    stored: &StoredStep,
    table: &QualifiedName,
    planned_name: &Ident,
    watch: &Watch,
) -> Result<()> {
    let find = sql!("in_place/find_constraint_name.sql").text();
    if let Some(row) = client.query_opt(&find, &[&change.original_oid, &stored.object_oid]).await? {
        let name = Ident::new(row.try_get::<_, String>("name")?);
        client.batch_execute(&format!("alter table {table} drop constraint {name}")).await?;
    } else if find_constraint(client, change, planned_name).await?.is_some() {
        let name = planned_name.shown();
        watch.note(format!("constraint {name} was not made by this migration: it is left alone"));
    }
    mark_undone(client, change.id, stored.ordinal).await
}

async fn acquire(
    client: &Client,
    migration: &Migration,
    (name, oid): (&QualifiedName, u32),
    how: &How,
    policy: LockPolicy,
    watch: &Watch,
) -> Result<()> {
    let mut locking = Locking::new(client, migration.id, Purpose::Step, policy, watch);
    let main = Target::table(name, oid);
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
    locking.acquire(&Request { targets, main: at }, mode).await
}

/// Another table to be locked; none if this role may not, and the statement itself takes the lock.
async fn target(client: &Client, table: &QualifiedName) -> Result<Option<Target>> {
    let Some(oid) = find_table(client, &table.to_string()).await? else { return Ok(None) };
    Ok(may_lock(client, oid).await?.then(|| Target::table(table, oid)))
}

/// For `status`: how long the strongest lock was held.
async fn note_held(
    client: &Client,
    migration: &Migration,
    stored: &StoredStep,
    held: Duration,
) -> Result<()> {
    if matches!(stored.step.how, How::UnderLock { mode: LockMode::AccessExclusive, .. }) {
        client
            .execute(
                "update pgrecast.migration set lock_held_ms = greatest(lock_held_ms, $2) where id = $1",
                &[&migration.id, &(held.as_secs_f64() * 1000.0)],
            )
            .await?;
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
                "the table is in use; this step was not done, {} before it are: a constraint that is NOT VALID yet refuses \
                 rows that do not fit, also an UPDATE of an old one",
                before - 1
            ),
        });
    if is_data {
        error.with_kind(Kind::NeedsPerson).hint(format!(
            "Correct the rows and run `pgrecast run {table}` to go on, or `pgrecast abort {table}` to take back what \
             was done."
        ))
    } else {
        error
    }
}
