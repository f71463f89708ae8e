//! Runs the steps of a change that needs no copy, and takes them back.
//!
//! Relies on the trial: no step under a lock reads or writes rows. Should that have changed since, the server ends
//! the statement after `--max-lock-time` and nothing is done.
//! Run twice: what is done is marked so in its own transaction. An index is made without one: whether it is there and
//! valid is looked up, and an invalid one of ours is dropped and made again.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::lock::{LockPolicy, Locking, Purpose, Request, Target, may_lock};
use super::watch::Watch;
use crate::alter::LockMode;
use crate::catalog::find_table;
use crate::db::{Session, Sessions};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::in_place::How;
use crate::state::{Migration, Phase, StoredStep, TableChange, load_steps, mark_begun, mark_done};

/// Runs what is not done yet, and ends the migration with the last step.
pub async fn run(
    client: &Session,
    sessions: &Sessions,
    migration: &mut Migration,
    change: &TableChange,
    policy: LockPolicy,
    watch: &Watch,
) -> Result<()> {
    let steps = load_steps(client, change.id).await?;
    let count = steps.len();
    for stored in steps.into_iter().filter(|stored| !stored.is_done) {
        expect_table(client, change).await?;
        watch.begin("step");
        watch.progress(
            i64::from(stored.ordinal) - 1,
            count as i64,
            "steps",
            stored.step.statements.join("; "),
        );
        let is_last = stored.ordinal as usize == count;
        if let How::Concurrently { index, makes } = &stored.step.how {
            let mut building = std::pin::pin!(concurrently(client, change, &stored, index, *makes));
            let observer = sessions.open("watch").await?;
            let mut tick = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    done = &mut building => break done?,
                    _ = tick.tick() => report_build(&observer, client.pid(), watch).await?,
                }
            }
            client.batch_execute("begin").await?;
        } else {
            acquire(client, migration, change, &stored.step.how, policy, watch).await?;
            let began = std::time::Instant::now();
            run_all(client, &stored.step.statements).await.map_err(|error| failed(error, change, &stored))?;
            note_held(client, migration, &stored, began.elapsed()).await?;
        }
        mark_done(client, change.id, stored.ordinal, true).await?;
        if is_last {
            migration.advance(client, Phase::Finished).await?;
        }
        client.batch_execute("commit").await?;
        watch.end(stored.step.statements.join("; "));
        if !is_last {
            Failpoint::StepDone.pass();
        }
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

/// Takes back what was done of a migration that did not come to its end.
pub async fn undo(
    client: &Client,
    migration: &Migration,
    change: &TableChange,
    policy: LockPolicy,
    watch: &Watch,
) -> Result<()> {
    for stored in load_steps(client, change.id).await?.into_iter().rev() {
        let how = &stored.step.how;
        if let (How::Concurrently { index, makes: true }, true) = (how, stored.is_begun || stored.is_done) {
            drop_if_ours(client, change, index, false).await?;
            mark_done(client, change.id, stored.ordinal, false).await?;
        } else if stored.is_done && !stored.step.undo.is_empty() {
            // Under the lock under which it was done, since a constraint is dropped under the strongest of all.
            let how = match how {
                How::UnderLock { leading, following, .. } => How::UnderLock {
                    mode: LockMode::AccessExclusive,
                    leading: leading.clone(),
                    following: following.clone(),
                },
                other => other.clone(),
            };
            acquire(client, migration, change, &how, policy, watch).await?;
            run_all(client, &stored.step.undo).await?;
            mark_done(client, change.id, stored.ordinal, false).await?;
            client.batch_execute("commit").await?;
        } else {
            continue;
        }
        Failpoint::StepUndone.pass();
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
        How::UnderLock { mode, leading, following } => {
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

/// Makes or drops an index while readers and writers go on.
async fn concurrently(
    client: &Client,
    change: &TableChange,
    stored: &StoredStep,
    index: &Ident,
    makes: bool,
) -> Result<()> {
    if !stored.is_begun {
        if makes && find(client, change, index).await?.is_some() {
            return Err(Error::needs_person(format!("there is an index {} already", index.shown()))
                .because("somebody else made it since the plan")
                .state("this step was not begun")
                .hint("Drop or rename it and run the same command again, or `pgrecast abort`."));
        }
        mark_begun(client, change.id, stored.ordinal).await?;
    }
    Failpoint::StepBegun.pass();
    match (makes, find(client, change, index).await?) {
        (true, Some(true)) | (false, None) => return Ok(()), // a run before this one did it
        (true, Some(false)) => drop_if_ours(client, change, index, true).await?,
        _ => {}
    }
    // It waits for transactions that are older, and nobody queues behind it who is not changing the table's shape.
    client.batch_execute("set lock_timeout = 0").await?;
    let result = run_alone(client, &stored.step.statements).await;
    client.batch_execute("set lock_timeout = '10s'").await?;
    if let Err(error) = result {
        if makes {
            // An invalid unique index would go on refusing rows.
            drop_if_ours(client, change, index, true).await?;
        }
        return Err(failed(error, change, stored));
    }
    Failpoint::StepIndexDone.pass();
    Ok(())
}

async fn run_alone(client: &Client, statements: &[String]) -> Result<()> {
    for statement in statements {
        client.batch_execute(statement).await?;
    }
    Ok(())
}

/// Whether the index is there, and valid.
async fn find(client: &Client, change: &TableChange, index: &Ident) -> Result<Option<bool>> {
    let schema = change.name.schema.as_str();
    let row = client
        .query_opt(&sql!("in_place/find_index.sql").text(), &[&schema, &index.as_str(), &change.original_oid])
        .await?;
    row.filter(|row| row.get("is_here")).map(|row| Ok(row.try_get("is_valid")?)).transpose()
}

/// Drops an index that a step of ours made, or only one that it left invalid.
async fn drop_if_ours(
    client: &Client,
    change: &TableChange,
    index: &Ident,
    only_invalid: bool,
) -> Result<()> {
    let found = find(client, change, index).await?;
    if found.is_none() || (only_invalid && found == Some(true)) {
        return Ok(());
    }
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
        .state("this step was not done; those before it are, and the table is in use");
    if is_data {
        error.with_kind(Kind::NeedsPerson).hint(format!(
            "Correct the rows and run `pgrecast run {table}` to go on, or `pgrecast abort {table}` to take back what \
             was done."
        ))
    } else {
        error
    }
}
