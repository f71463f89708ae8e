//! The swap: in one short transaction original and shadow change places, or new and retired on the way
//! back. All or nothing; whether it happened is said by the phase, which is part of it.
//!
//! Relies on rounds until one was tiny, and on a verification that counts.
//! Run twice: the phase says whether it happened. Killed midway: the transaction never was.

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
use crate::replay::{self, bring_level};
use crate::run::events::Note;
use crate::run::{Run, definition};
use crate::state::{LockCost, Migration, Phase, TableChange};
use exchange::Exchange;

/// Exchanges the tables of all pairs, in one transaction with the phase: [`Phase::Swapped`], or [`Phase::RolledBack`] on
/// the way back. Says how long the locks were held and what it took to get them.
///
/// # Errors
/// Anything before the commit leaves everything as it was. [`Kind::ConnectionLost`]: look at the phase.
pub async fn swap(
    run: &Run,
    migration: &mut Migration,
    tables: &[(TableChange, Pair)],
    policy: LockPolicy,
) -> Result<(Duration, LockStory)> {
    let ids: Vec<i64> = tables.iter().map(|(change, _)| change.id).collect();
    let mut locking = Locking::new(run, &ids, Purpose::Swap, policy);
    loop {
        let mut exchanges = Vec::with_capacity(tables.len());
        for (change, pair) in tables {
            exchanges.push(Exchange::prepare(&run.control, change, pair).await?);
        }
        for (change, pair) in tables {
            // As near as can be before others have to wait for it.
            bring_level(run, change, pair).await?;
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

/// The swap in the transaction that holds the locks; committed, or rolled back.
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
        Ok(to) if !hold.is_over() => {
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
            error.state("the connection was lost during the swap: the state says whether it happened")
        );
    }
    client.batch_execute("rollback").await?;
    let error = error.state("the swap was rolled back: nothing was changed");
    if error.is_sqlstate(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) {
        let mut error =
            error.with_kind(Kind::NeedsPerson).context("something new stands on what has to be made anew");
        // The server's own is CASCADE.
        error.hint = Some(
            "It came since the migration was planned. Drop it and create it again afterwards.".to_owned(),
        );
        return Err(error);
    }
    Err(error)
}

/// All of it but the commit. The first statement that takes a snapshot comes after the last lock.
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
    client.batch_execute(&all.join(";\n")).await?;
    for Exchange { change, pair, before, .. } in exchanges {
        before.expect_swapped(client, (pair.to_oid, pair.from_oid), &change.name).await?;
    }
    for (exchange, values) in exchanges.iter().zip(&values) {
        let Exchange { change, pair, digest, .. } = exchange;
        sequences::set_identities(client, exchange, values).await?;
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
    // The phase in memory changes only when the commit is known.
    let before = migration.phase;
    migration.advance(client, to).await?;
    migration.phase = before;
    let held_ms = Some(hold.elapsed().as_secs_f64() * 1000.0);
    migration.record_swap(client, &xid, &LockCost { held_ms, ..story.cost() }).await?;
    Ok(to)
}

/// Brings over what came in until the lock was granted.
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

/// Makes sure that nothing elsewhere names the outgoing table any more: it would go on with the retired one.
async fn expect_unnamed(client: &Client, exchange: &Exchange) -> Result<()> {
    let statement = sql!("swap/list_names.sql").text();
    let (outgoing, aside) = (exchange.pair.from_oid, exchange.outgoing_schema.as_str());
    match client.query_opt(&statement, &[&outgoing, &aside]).await? {
        None => Ok(()),
        Some(row) => Err(Error::needs_person(format!(
            "{} names the table and came there since the migration was planned",
            row.try_get::<_, String>("name")?
        ))
        .hint("Drop it and create it again afterwards, or `pgrecast abort` and begin again.")),
    }
}
