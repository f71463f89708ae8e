//! Runs the steps of a change that needs no copy, and takes them back.
//!
//! Relies on the trial: no step under a lock reads or writes rows. Should that have changed since, the server ends
//! the statement after `--max-lock-time` and nothing is done.
//! Run twice: what is done is marked so in its own transaction, with the oid of what it made and the table's definition
//! since; a definition that somebody else changed stops it. An index is made without one: whether it is there,
//! valid and of our definition is looked up, and an invalid one of ours is dropped and made again.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::lock::{LockPolicy, Locking, Purpose, Request, Target, may_lock};
use super::watch::Watch;
use crate::alter::{LockMode, retarget};
use crate::catalog::{Fingerprint, find_table};
use crate::db::{Session, Sessions};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::in_place::How;
use crate::state::{
    Migration, Phase, StoredStep, TableChange, load_steps, mark_begun, mark_done, mark_undone,
};

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
        expect_table(client, change).await?;
        watch.begin("step");
        let words = stored.step.statements.join("; ");
        watch.progress(i64::from(stored.ordinal) - 1, count as i64, "steps", words.clone());
        let is_last = stored.ordinal as usize == count;
        if let How::Concurrently { index, makes } = &stored.step.how {
            let work = Work { client, change, stored: &stored, digest: &digest, known: &known };
            let mut working = std::pin::pin!(work.concurrently(index, *makes));
            let observer = sessions.open("watch").await?;
            let mut tick = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    done = &mut working => break done?,
                    _ = tick.tick() => report_build(&observer, client.pid(), watch).await?,
                }
            }
            client.batch_execute("begin").await?;
        } else {
            acquire(client, migration, change, &stored.step.how, policy, watch).await?;
            let began = std::time::Instant::now();
            client.batch_execute(Fingerprint::USE_PLAN).await?;
            if let Err(error) = expect_known(client, change, &digest, &known).await {
                client.batch_execute("rollback").await?;
                return Err(error);
            }
            client.batch_execute("set local plan_cache_mode = auto").await?;
            run_all(client, &stored.step.statements).await.map_err(|error| failed(error, change, &stored))?;
            note_held(client, migration, &stored, began.elapsed()).await?;
        }
        let made = made(client, change, &stored.step.how).await?;
        known = digest.of(client, change.original_oid).await?;
        mark_done(client, change.id, stored.ordinal, made, &known).await?;
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

/// Makes sure that nobody but us has changed the table's definition since the plan, or since the step before: the steps
/// were proven for that one, and a name may mean something else now.
async fn expect_known(
    client: &Client,
    change: &TableChange,
    digest: &Fingerprint,
    known: &str,
) -> Result<()> {
    if digest.of(client, change.original_oid).await? == known {
        return Ok(());
    }
    let table = change.name.shown();
    Err(Error::needs_person(format!("the definition of {table} was changed by somebody else since it was planned"))
        .state("the steps so far are done, this one was not begun")
        .hint(format!(
            "Run `pgrecast abort {table}` and begin again, or take their change back and run `pgrecast run {table}`."
        )))
}

/// The index or constraint that a step has just made.
async fn made(client: &Client, change: &TableChange, how: &How) -> Result<Option<u32>> {
    Ok(match how {
        How::Concurrently { index, makes: true } => find(client, change, index).await?.map(|found| found.oid),
        How::UnderLock { makes: Some(constraint), .. } => find_constraint(client, change, constraint).await?,
        _ => None,
    })
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
        How::Concurrently { makes: false, .. } => stored.is_begun || stored.is_done,
        How::UnderLock { makes: None, .. } => stored.is_done,
        _ => false,
    }))
}

/// Takes back what was done of a migration that did not come to its end. What is not the very object that a step made is
/// left alone.
pub async fn undo(
    client: &Client,
    migration: &Migration,
    change: &TableChange,
    policy: LockPolicy,
    watch: &Watch,
) -> Result<()> {
    for stored in load_steps(client, change.id).await?.into_iter().rev() {
        match &stored.step.how {
            How::Concurrently { index, makes: true } if stored.is_begun || stored.is_done => {
                let found = find(client, change, index).await?;
                let is_ours = found.as_ref().is_some_and(|found| match stored.object_oid {
                    Some(oid) => found.oid == oid,
                    None => found.is_of(&stored.step.statements, change),
                });
                if is_ours {
                    drop_index(client, change, index).await?;
                } else if found.is_some() {
                    watch.note(format!(
                        "index {} was not made by this migration: it is left alone",
                        index.shown()
                    ));
                }
            }
            How::UnderLock { makes: Some(constraint), leading, following, .. } if stored.is_done => {
                // A constraint is dropped under the strongest lock of all, whatever made it.
                let how = How::UnderLock {
                    mode: LockMode::AccessExclusive,
                    leading: leading.clone(),
                    following: following.clone(),
                    makes: None,
                };
                acquire(client, migration, change, &how, policy, watch).await?;
                let found = find_constraint(client, change, constraint).await?;
                if found.is_some() && found == stored.object_oid {
                    run_all(client, &stored.step.undo).await?;
                } else if found.is_some() {
                    watch.note(format!(
                        "constraint {} was not made by this migration: it is left alone",
                        constraint.shown()
                    ));
                }
                mark_undone(client, change.id, stored.ordinal).await?;
                client.batch_execute("commit").await?;
            }
            _ => continue,
        }
        mark_undone(client, change.id, stored.ordinal).await?;
        Failpoint::StepUndone.pass();
    }
    Ok(())
}

/// How often to look how far an index build is.
const LOOK: Duration = Duration::from_millis(500);

async fn report_build(observer: &Client, builder: i32, watch: &Watch) -> Result<()> {
    let row = observer.query_opt(&sql!("in_place/read_build.sql").text(), &[&builder]).await?;
    if let Some(row) = row {
        let mut words: String = row.try_get("phase")?;
        if let Some(pid) = row.try_get::<_, Option<i32>>("waits_for")? {
            words = format!("{words}: pid {pid} {:?}", row.try_get::<_, String>("application")?);
        }
        watch.progress(row.try_get("blocks_done")?, row.try_get("blocks_total")?, "blocks", words);
    }
    Ok(())
}

/// Makes sure that the table's name still means the table that was planned for.
async fn expect_table(client: &Client, change: &TableChange) -> Result<()> {
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

async fn acquire(
    client: &Client,
    migration: &Migration,
    change: &TableChange,
    how: &How,
    policy: LockPolicy,
    watch: &Watch,
) -> Result<()> {
    let mut locking = Locking::new(client, migration.id, Purpose::Step, policy, watch);
    let main = Target::table(&change.name, change.original_oid);
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
        How::Online | How::Concurrently { .. } => (LockMode::ShareUpdateExclusive, vec![main], 0),
    };
    locking.acquire(&Request { targets, main: at }, mode).await
}

/// Another table to be locked; none if this role may not, and the statement itself takes the lock.
async fn target(client: &Client, table: &QualifiedName) -> Result<Option<Target>> {
    let Some(oid) = find_table(client, &table.to_string()).await? else { return Ok(None) };
    Ok(may_lock(client, oid).await?.then(|| Target::table(table, oid)))
}

/// Runs statements in the transaction that is open, and rolls it back if one fails.
async fn run_all(client: &Client, statements: &[String]) -> Result<()> {
    for statement in statements {
        if let Err(error) = client.batch_execute(statement).await {
            let error = Error::from(error);
            if error.kind != Kind::ConnectionLost {
                client.batch_execute("rollback").await?;
            }
            return Err(error);
        }
    }
    Ok(())
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

/// A step that is under way.
struct Work<'a> {
    client: &'a Client,
    change: &'a TableChange,
    stored: &'a StoredStep,
    digest: &'a Fingerprint,
    known: &'a str,
}

impl Work<'_> {
    /// Makes or drops an index while readers and writers go on.
    async fn concurrently(&self, index: &Ident, makes: bool) -> Result<()> {
        let Work { client, change, stored, .. } = *self;
        let mut found = find(client, change, index).await?;
        if stored.is_begun && makes {
            match &found {
                Some(index) if !index.is_of(&stored.step.statements, change) => {
                    return Err(taken(&index.name));
                }
                Some(index) if index.is_valid => return Ok(()), // a run before this one made it
                Some(_) => {
                    drop_index(client, change, index).await?;
                    found = None;
                }
                None => {}
            }
        }
        if stored.is_begun && !makes {
            if found.is_none() {
                return Ok(());
            }
        } else {
            expect_known(client, change, self.digest, self.known).await?;
            if makes && let Some(index) = found {
                return Err(taken(&index.name));
            }
            mark_begun(client, change.id, stored.ordinal).await?;
        }
        Failpoint::StepBegun.pass();
        // It waits for transactions that are older, and nobody queues behind it who is not changing the table's shape.
        client.batch_execute("set lock_timeout = 0").await?;
        let result = run_alone(client, &stored.step.statements).await;
        client.batch_execute("set lock_timeout = '10s'").await?;
        if let Err(error) = result {
            if makes {
                // An invalid unique index would go on refusing rows.
                if find(client, change, index).await?.is_some_and(|found| !found.is_valid) {
                    drop_index(client, change, index).await?;
                }
                mark_undone(client, change.id, stored.ordinal).await?;
            }
            return Err(failed(error, change, stored));
        }
        Failpoint::StepIndexDone.pass();
        Ok(())
    }
}

fn taken(index: &Ident) -> Error {
    Error::needs_person(format!("there is an index {} already", index.shown()))
        .because("somebody else made it since the plan")
        .state("the steps so far are done, this one was not")
        .hint("Drop or rename it and run the same command again, or `pgrecast abort`.")
}

async fn run_alone(client: &Client, statements: &[String]) -> Result<()> {
    for statement in statements {
        client.batch_execute(statement).await?;
    }
    Ok(())
}

/// An index of the table.
struct Found {
    oid: u32,
    name: Ident,
    is_valid: bool,
    definition: String,
}

impl Found {
    /// Whether it is what these statements make.
    fn is_of(&self, statements: &[String], change: &TableChange) -> bool {
        let made = retarget(&self.definition, &change.name, &change.name).map(|text| text.to_string());
        made.is_ok_and(|made| statements.iter().any(|text| text.replacen(" CONCURRENTLY", "", 1) == made))
    }
}

async fn find(client: &Client, change: &TableChange, index: &Ident) -> Result<Option<Found>> {
    let schema = change.name.schema.as_str();
    let statement = sql!("in_place/find_index.sql").text();
    let row = client.query_opt(&statement, &[&schema, &index.as_str(), &change.original_oid]).await?;
    row.map(|row| {
        Ok(Found {
            oid: row.try_get("oid")?,
            name: index.clone(),
            is_valid: row.try_get("is_valid")?,
            definition: row.try_get("definition")?,
        })
    })
    .transpose()
}

async fn drop_index(client: &Client, change: &TableChange, index: &Ident) -> Result<()> {
    let index = QualifiedName { name: index.clone(), ..change.name.clone() };
    client.batch_execute("set lock_timeout = 0").await?;
    let result = client.batch_execute(&format!("drop index concurrently if exists {index}")).await;
    client.batch_execute("set lock_timeout = '10s'").await?;
    Ok(result?)
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
