//! Creates and drops an index without blocking readers and writers, with statements that cannot run in a transaction.
//!
//! Relies on the name being free, or on an index of ours having it: the oid and the definition identify it.
//! Run twice: a valid index of ours is done; an invalid one is dropped and created again; an index that does not exist
//! any more counts as dropped.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::alter::retarget;
use crate::catalog::find_name;
use crate::error::{Error, Result};
use crate::failpoint::Failpoint;
use crate::name::{Ident, QualifiedName, sql};
use crate::run::Run;
use crate::run::events::{Detail, Note, Unit};
use crate::state::{StoredStep, TableChange, mark_begun, mark_undone};

/// How often to read the progress of an index build.
const LOOK: Duration = Duration::from_millis(500);

/// Creates the index of a step, and returns its oid.
///
/// # Errors
/// [`Kind::NeedsPerson`](crate::error::Kind::NeedsPerson) if another relation has its name; or the server's error, and
/// then nothing of the index is left.
pub(super) async fn make(run: &Run, change: &TableChange, stored: &StoredStep, index: &Ident) -> Result<u32> {
    let mut working = std::pin::pin!(make_unobserved(&run.control, change, stored, index));
    let observer = run.sessions.open("watch").await?;
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            made = &mut working => return made,
            _ = tick.tick() => report(&observer, run).await?,
        }
    }
}

async fn make_unobserved(
    client: &Client,
    change: &TableChange,
    stored: &StoredStep,
    index: &Ident,
) -> Result<u32> {
    match find(client, change, index).await? {
        Some(found) if !stored.is_begun || !found.is_made_by(stored, change) => return Err(taken(index)),
        Some(found) if found.is_valid => return Ok(found.oid), // a run before this one made it
        Some(found) => drop_index(client, &found.name).await?,
        None => {}
    }
    if !stored.is_begun {
        mark_begun(client, change.id, stored.ordinal).await?;
    }
    Failpoint::StepBegun.pass();
    let result = patiently(client, &stored.step.statements.join(";")).await;
    let found = find(client, change, index).await?;
    match (result, found) {
        (Ok(()), Some(found)) => {
            Failpoint::StepIndexDone.pass();
            Ok(found.oid)
        }
        (result, found) => {
            if let Some(found) = found.filter(|found| !found.is_valid) {
                // An invalid unique index would continue to reject rows.
                drop_index(client, &found.name).await?;
            }
            mark_undone(client, change.id, stored.ordinal).await?;
            Err(match result {
                Err(error) if error.is_sqlstate(&SqlState::DUPLICATE_TABLE) => taken(index),
                Err(error) => error,
                Ok(()) => Error::failed(format!("index {} was dropped after it was created", index.shown())),
            })
        }
    }
}

/// Drops the index with this oid, whatever its name is now. An index that does not exist any more counts as dropped.
pub(super) async fn drop(client: &Client, change: &TableChange, stored: &StoredStep, oid: u32) -> Result<()> {
    if !stored.is_begun {
        mark_begun(client, change.id, stored.ordinal).await?;
    }
    Failpoint::StepBegun.pass();
    if let Some(name) = find_name(client, oid).await? {
        drop_index(client, &name).await?;
    }
    Failpoint::StepIndexDone.pass();
    Ok(())
}

/// Drops the index that a step created, if it exists, and no other index of that name.
pub(super) async fn undo(run: &Run, change: &TableChange, stored: &StoredStep, index: &Ident) -> Result<()> {
    let client = &run.control;
    let ours = match stored.object_oid {
        Some(oid) => find_name(client, oid).await?,
        None => find(client, change, index)
            .await?
            .filter(|found| found.is_made_by(stored, change))
            .map(|found| found.name),
    };
    if let Some(name) = ours {
        drop_index(client, &name).await?;
    } else if find(client, change, index).await?.is_some() {
        run.events.noted(Note::NotOurs { kind: "index", name: index.shown() });
    }
    Ok(())
}

async fn report(observer: &Client, run: &Run) -> Result<()> {
    let row = observer.query_opt(&sql!("in_place/read_build.sql").text(), &[&run.control.pid()]).await?;
    if let Some(row) = row {
        let mut words: String = row.try_get("phase")?;
        if let Some(pid) = row.try_get::<_, Option<i32>>("waits_for")? {
            words = format!("{words}: pid {pid} {:?}", row.try_get::<_, String>("application")?);
        }
        let (done, total) = (row.try_get("blocks_done")?, row.try_get("blocks_total")?);
        run.events.progressed(done, total, Unit::Blocks, Detail::ServerPhase(words));
    }
    Ok(())
}

fn taken(index: &Ident) -> Error {
    Error::needs_person(format!("index {} already exists", index.shown()))
        .because("another session created it after the plan")
        .state("the steps so far are done, this one is not")
        .hint("Drop or rename it and run the same command again, or `pgrecast abort`.")
}

/// An index of the table.
struct Found {
    oid: u32,
    name: QualifiedName,
    is_valid: bool,
    definition: String,
    /// The current name of the table.
    table: QualifiedName,
}

impl Found {
    /// Whether it is the index that the step's statement creates.
    fn is_made_by(&self, stored: &StoredStep, change: &TableChange) -> bool {
        let made = retarget(&self.definition, &self.table, &change.name).map(|text| text.to_string());
        let wanted = |text: &String| text.replacen(" CONCURRENTLY", "", 1);
        made.is_ok_and(|made| stored.step.statements.iter().any(|text| wanted(text) == made))
    }
}

async fn find(client: &Client, change: &TableChange, index: &Ident) -> Result<Option<Found>> {
    let Some(table) = find_name(client, change.original_oid).await? else { return Ok(None) };
    let statement = sql!("in_place/find_index.sql").text();
    let row = client.query_opt(&statement, &[&index.as_str(), &change.original_oid]).await?;
    row.map(|row| {
        Ok(Found {
            oid: row.try_get("oid")?,
            name: QualifiedName { name: index.clone(), ..table.clone() },
            is_valid: row.try_get("is_valid")?,
            definition: row.try_get("definition")?,
            table,
        })
    })
    .transpose()
}

async fn drop_index(client: &Client, index: &QualifiedName) -> Result<()> {
    patiently(client, &format!("drop index concurrently if exists {index}")).await
}

/// Waits for older transactions without a limit: only DDL on the table waits behind this.
async fn patiently(client: &Client, statement: &str) -> Result<()> {
    client.batch_execute("set lock_timeout = 0").await?;
    let result = client.batch_execute(statement).await;
    client.batch_execute("set lock_timeout = '10s'").await?;
    Ok(result?)
}
