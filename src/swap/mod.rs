//! The swap: one short transaction exchanges original and shadow, or in a rollback the new and the retired table. All
//! or nothing; the phase is part of the transaction and says whether it happened.
//!
//! Relies on rounds until one was tiny, and on a verification in the same run.
//! Run twice: the phase says whether it happened. Killed midway: the transaction is rolled back.

mod exchange;
pub mod finish;
pub mod matviews;
mod sequences;
pub mod snapshots;
mod statements;

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::alter::LockMode;
use crate::capture;
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::lock::{Hold, LockPolicy, LockStory, Locking, Purpose, Request};
use crate::name::sql;
use crate::pair::{Direction, Pair};
use crate::replay;
use crate::run::events::Note;
use crate::run::{Run, definition};
use crate::state::{LockCost, Migration, Phase, TableChange};
use exchange::Exchange;
use snapshots::{Readers, SnapshotPolicy, outwait_older};

/// Exchanges the tables of all pairs, in one transaction with the phase: [`Phase::Swapped`], or [`Phase::RolledBack`]
/// in a rollback. Returns how long the locks were held, and the statistics of the request.
///
/// # Errors
/// An error before the commit leaves everything as it was. [`Kind::ConnectionLost`]: read the phase.
pub async fn swap(
    run: &Run,
    migration: &mut Migration,
    tables: &[(TableChange, Pair)],
    (policy, snapshots): (LockPolicy, SnapshotPolicy),
) -> Result<(Duration, LockStory)> {
    let ids: Vec<i64> = tables.iter().map(|(change, _)| change.id).collect();
    let mut locking = Locking::new(run, &ids, Purpose::Swap, policy);
    loop {
        let mut exchanges = Vec::with_capacity(tables.len());
        for (change, pair) in tables {
            exchanges.push(Exchange::prepare(&run.control, change, pair).await?);
        }
        for (change, pair) in tables {
            // Replay as much as possible before other sessions must wait. A transaction that began while the rows were
            // compared would not see what was replayed since.
            outwait_older(run, change, pair, Readers::Here, snapshots).await?;
        }
        let request = Request::all(exchanges.iter().map(|exchange| &exchange.locks));
        if locking.try_acquire(&request, LockMode::AccessExclusive).await? {
            match once(run, migration, &exchanges, policy, &locking.story).await {
                Ok(held) => return Ok((held, locking.story)),
                Err(error) if locking.story.attempts < policy.attempts && error.kind == Kind::Transient => {
                    run.events.noted(Note::SwapUndone(error.message));
                }
                Err(error) => return Err(error),
            }
        }
        locking.wait(&request, LockMode::AccessExclusive).await?;
    }
}

/// Performs the swap in the transaction that holds the locks, and commits it or rolls it back.
async fn once(
    run: &Run,
    migration: &mut Migration,
    exchanges: &[Exchange],
    policy: LockPolicy,
    story: &LockStory,
) -> Result<Duration> {
    let client = &run.control;
    let hold = Hold::begin(policy);
    let error = match under_lock(client, migration, exchanges, story, hold).await {
        Ok(to) if !hold.is_too_late_to_commit() => {
            Failpoint::SwapReady.pass();
            client.batch_execute("commit").await?;
            let took = hold.elapsed();
            Failpoint::Swapped.pass();
            migration.phase = to;
            tracing::info!(migration = %migration.short_id(), phase = %to, held_ms = took.as_millis(), "swapped");
            migration.record_held(client, took.as_secs_f64() * 1000.0).await?;
            return Ok(took);
        }
        Ok(_) => hold.exceeded(),
        Err(error) => hold.reason(error),
    };
    if error.kind == Kind::ConnectionLost {
        return Err(
            error.state("the connection was lost during the swap: the phase says whether it happened")
        );
    }
    client.batch_execute("rollback").await?;
    let error = error.state("the swap was rolled back: nothing was changed");
    if error.is_sqlstate(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) {
        let mut error = error
            .with_kind(Kind::NeedsPerson)
            .context("a new object depends on an object that the swap drops and creates again");
        // The server's own hint is CASCADE.
        error.hint = Some(
            "It was created after the migration was planned. Drop it, and create it again after the swap."
                .to_owned(),
        );
        return Err(error);
    }
    Err(error)
}

/// Everything except the commit. The first statement that takes a snapshot runs after the last lock is acquired.
async fn under_lock(
    client: &Client,
    migration: &mut Migration,
    exchanges: &[Exchange],
    story: &LockStory,
    hold: Hold,
) -> Result<Phase> {
    let mut to = migration.phase;
    for Exchange { change, pair, digest, .. } in exchanges {
        definition::check(client, digest, change, pair).await?;
        capture::check(client, change, pair).await?;
        hold.limit(client).await?;
        last_round(client, change, pair).await?;
        hold.limit(client).await?;
    }
    let xid: String =
        client.query_one("select pg_catalog.pg_current_xact_id()::text", &[]).await?.try_get(0)?;
    let mut values = Vec::with_capacity(exchanges.len());
    let mut all = Vec::new();
    for exchange in exchanges {
        let standing = sequences::take(client, &exchange.sequences).await?;
        all.extend(statements::all(exchange, &standing, &xid));
        values.push(standing);
    }
    for statement in &all {
        tracing::debug!(statement, "swap");
    }
    hold.limit(client).await?;
    client.batch_execute(&hold.limited(&all)).await?;
    for Exchange { change, pair, before, .. } in exchanges {
        hold.limit(client).await?;
        before.expect_swapped(client, (pair.to_oid, pair.from_oid), &change.name).await?;
    }
    for exchange in exchanges {
        let Exchange { change, pair, digest, .. } = exchange;
        expect_unnamed(client, exchange).await?;
        hold.limit(client).await?;
        to = match pair.direction {
            Direction::Forward => Phase::Swapped,
            Direction::Reverse => Phase::RolledBack,
        };
        if to == Phase::Swapped {
            capture::record_triggers(client, change, pair.to_oid).await?;
            definition::record(client, digest, change, pair.to_oid).await?;
        }
    }
    hold.limit(client).await?;
    // The phase in memory changes only after the commit is confirmed.
    let before = migration.phase;
    migration.advance(client, to).await?;
    migration.phase = before;
    let held_ms = Some(hold.elapsed().as_secs_f64() * 1000.0);
    migration.record_swap(client, &xid, &LockCost { held_ms, ..story.cost() }).await?;
    // The last look at who is in a transaction.
    for (exchange, values) in exchanges.iter().zip(&values) {
        hold.limit(client).await?;
        sequences::set_identities(client, exchange, values).await?;
    }
    Ok(to)
}

/// Replays the changes made until the lock was granted.
async fn last_round(client: &Client, change: &TableChange, pair: &Pair) -> Result<()> {
    let round = replay::round_in_transaction(client, pair).await?;
    let text =
        format!("select not exists (select from {}) and not exists (select from {})", pair.log, pair.keys);
    let is_empty: bool = client.query_one(&text, &[]).await?.try_get(0)?;
    if !is_empty {
        return Err(Error::failed("the log is not empty although nobody can write to the table"));
    }
    change.count_rounds(client, 1, round.keys as i64).await
}

/// Makes sure that no other object refers to the outgoing table any more. It would continue to use the retired table.
async fn expect_unnamed(client: &Client, exchange: &Exchange) -> Result<()> {
    let statement = sql!("swap/list_names.sql").text();
    let (outgoing, aside) = (exchange.pair.from_oid, exchange.outgoing_schema.as_str());
    match client.query_opt(&statement, &[&outgoing, &aside]).await? {
        None => Ok(()),
        Some(row) => Err(Error::needs_person(format!(
            "{} refers to the table and was created after the migration was planned",
            row.try_get::<_, String>("name")?
        ))
        .hint("Drop it and create it again after the swap, or run `pgrecast abort` and start again.")),
    }
}
