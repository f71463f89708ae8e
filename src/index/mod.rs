//! Index: after the copy, brings the shadow up to date and builds its indexes.
//!
//! In this order: delete every copied row whose key is in the log; build the unique index of the key; replay; then
//! build all other indexes, in several sessions. A full round runs before a unique index is built, so that it meets no
//! temporary duplicates.
//! Run twice: each index is recorded in its own transaction. Killed midway: continues with the next one.

pub mod vacuum;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_postgres::Client;

use crate::catalog::find_table;
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::{QualifiedName, sql};
use crate::pair::Pair;
use crate::plan::{Kind as DependentKind, Side};
use crate::replay::catch_up::Crew;
use crate::replay::{self, Which};
use crate::run::Run;
use crate::run::events::{Detail, Unit};
use crate::state::{StoredDependent, TableChange, load_dependents, mark_made};

/// If at most this fraction of the rows changed since capture began, the other indexes may exist during the replay.
const FEW: i64 = 20;

/// Builds the key's index and replays the changes made during the copy. With several sessions, the other indexes that
/// cannot reject a row are built in parallel, unless many rows changed: each index slows down the replay.
pub async fn build_key(run: &Run, change: &TableChange, pair: &Pair, jobs: usize) -> Result<()> {
    let client = &run.control;
    let mut open = open(client, change).await?;
    open.retain(|stored| {
        stored.dependent.kind == DependentKind::KeyIndex || !stored.dependent.build.refuses_rows
    });
    // The index of the key comes first.
    open.sort_by_key(|stored| stored.dependent.kind != DependentKind::KeyIndex);
    if open.first().is_some_and(|first| first.dependent.kind == DependentKind::KeyIndex) {
        replay::drain(client, pair, Which::All).await?;
        client.batch_execute(&format!("analyze {}", pair.keys)).await?;
        client.batch_execute(&pair.fill(sql!("replay/delete_logged.sql")).text()).await?;
        Failpoint::LoggedDeleted.pass();
        if jobs == 1 || !few_wait(client, change, pair).await? {
            open.truncate(1);
        }
        build_all(run, change, pair, jobs, open).await?;
    }
    let before = Crew::new(run).catch_up(pair).await?;
    let round = replay::round(client, pair).await?;
    tracing::debug!(keys = before + round.keys, "caught up with the copy");
    Ok(())
}

/// Builds all other indexes, `jobs` in parallel, the largest first.
pub async fn build_others(run: &Run, change: &TableChange, pair: &Pair, jobs: usize) -> Result<()> {
    let open = open(&run.control, change).await?;
    build_all(run, change, pair, jobs, open).await
}

/// The number of indexes of the new table.
pub async fn count(client: &Client, change: &TableChange) -> Result<usize> {
    let all = load_dependents(client, change.id, Side::New).await?;
    Ok(all.iter().filter(|stored| is_index(stored)).count())
}

fn is_index(stored: &StoredDependent) -> bool {
    matches!(stored.dependent.kind, DependentKind::KeyIndex | DependentKind::Index)
}

/// The indexes that are not built yet, the largest first.
async fn open(client: &Client, change: &TableChange) -> Result<Vec<StoredDependent>> {
    let mut all = load_dependents(client, change.id, Side::New).await?;
    all.retain(|stored| is_index(stored) && !stored.is_made);
    Ok(all)
}

async fn few_wait(client: &Client, change: &TableChange, pair: &Pair) -> Result<bool> {
    let few = (change.rows_estimated / FEW).max(1000);
    let waiting: i64 = client
        .query_one(&format!("select count(*) from (select from {} limit $1) k", pair.keys), &[&(few + 1)])
        .await?
        .try_get(0)?;
    Ok(waiting <= few)
}

/// Builds these indexes, `jobs` in parallel, in this order.
async fn build_all(
    run: &Run,
    change: &TableChange,
    pair: &Pair,
    jobs: usize,
    open: Vec<StoredDependent>,
) -> Result<()> {
    let client = &run.control;
    let count = open.len();
    let queue = Arc::new(tokio::sync::Mutex::new(open.clone()));
    queue.lock().await.reverse();
    let built = Arc::new(AtomicI64::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for n in 1..=jobs.min(count) {
        let (sessions, change) = (run.sessions.clone(), change.clone());
        let (queue, built) = (Arc::clone(&queue), Arc::clone(&built));
        workers.spawn(async move {
            let session = sessions.open_worker(&format!("index {n}")).await?;
            loop {
                let next = queue.lock().await.pop();
                let Some(next) = next else { return Ok::<(), Error>(()) };
                build(&session, &change, &next).await.map_err(|error| duplicates(error, &change, &next))?;
                match next.dependent.kind {
                    DependentKind::KeyIndex => Failpoint::KeyBuilt.pass(),
                    _ => Failpoint::IndexBuilt.pass(),
                }
                built.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            done = workers.join_next() => match done {
                None => break,
                Some(result) => result.map_err(|e| Error::failed(format!("an index worker failed: {e}")))??,
            },
            _ = tick.tick() => {
                replay::drain(client, pair, Which::All).await?;
                run.events.progressed(built.load(Ordering::Relaxed), count as i64, Unit::Indexes, Detail::None);
            }
        }
    }
    for stored in &open {
        attach(client, stored).await.map_err(|error| duplicates(error, change, stored))?;
        match stored.dependent.kind {
            DependentKind::KeyIndex => Failpoint::KeyMade.pass(),
            _ => Failpoint::IndexMade.pass(),
        }
    }
    Ok(())
}

/// Builds the index, unless an earlier run did.
async fn build(session: &Client, change: &TableChange, stored: &StoredDependent) -> Result<()> {
    let name = stored.dependent.name.clone();
    let index = QualifiedName { schema: change.shadow_schema.clone(), name };
    if stored.dependent.build.statements == 0 || find_table(session, &index.to_string()).await?.is_some() {
        return Ok(());
    }
    in_transaction(session, &stored.dependent.create[..stored.dependent.build.statements], None).await
}

/// Runs the remaining statements and records the index as built.
async fn attach(session: &Client, stored: &StoredDependent) -> Result<()> {
    in_transaction(session, &stored.dependent.create[stored.dependent.build.statements..], Some(stored.id))
        .await?;
    tracing::debug!(index = %stored.dependent.name.shown(), "index built");
    Ok(())
}

async fn in_transaction(session: &Client, statements: &[String], made: Option<i64>) -> Result<()> {
    session.batch_execute("begin").await?;
    for statement in statements {
        if let Err(error) = session.batch_execute(statement).await {
            let error = Error::from(error);
            if error.kind != Kind::ConnectionLost {
                session.batch_execute("rollback").await?;
            }
            return Err(error);
        }
    }
    if let Some(id) = made {
        mark_made(session, id).await?;
    }
    session.batch_execute("commit").await?;
    Ok(())
}

fn duplicates(error: Error, change: &TableChange, stored: &StoredDependent) -> Error {
    let is_duplicate = error.is_duplicate();
    let table = change.name.name.shown();
    let error = error.context(format!(
        "could not build {} on the new shape of {}",
        stored.dependent.name.shown(),
        change.name.shown()
    ));
    if is_duplicate {
        error
            .with_kind(Kind::NeedsPerson)
            .state("the table is unchanged; the copy is complete and changes are still being captured")
            .hint(format!(
                "Remove the duplicates from {} and run `pgrecast run {table}` to continue, or `pgrecast abort {table}` to undo.",
                change.name.shown()
            ))
    } else {
        error
    }
}
