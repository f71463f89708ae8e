//! Replay: makes the `to` row of every logged key equal to the mapped `from` row, or absent.
//!
//! One round is one REPEATABLE READ transaction with one snapshot S: it takes all log entries that S
//! sees into a set of keys and brings each key to its state in S. Log entry and row become visible
//! together because they commit together, so nothing depends on the order of entries, on sequences or
//! on the order of commits. Run twice: a round that finds nothing does nothing. Killed midway: the
//! transaction never was.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::misfit;
use super::pair::{Direction, Pair};
use super::segment;
use super::watch::Watch;
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::{Fragment, Statement, sql};

/// What a round did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Round {
    /// Log entries taken.
    pub entries: u64,
    /// Distinct keys brought over.
    pub keys: u64,
    /// How long it took.
    pub took: Duration,
}

/// More keys than this are brought over in batches, each in a transaction of its own, so that no
/// snapshot is held for long.
const BATCH: i64 = 20_000;

/// How often the set may be emptied in vain, more keys waiting afterwards than ever before.
const PATIENCE: u32 = 20;

/// How often a round that failed for a passing reason is tried again.
const TRIES: u32 = 5;

/// One round, whatever its size, in one transaction of its own.
pub async fn round(client: &Client, pair: &Pair) -> Result<Round> {
    for tried in 1.. {
        // The lock before the snapshot: a TRUNCATE between the two would empty the table for both.
        client
            .batch_execute(&format!(
                "begin isolation level repeatable read; lock table only {} in access share mode",
                pair.from
            ))
            .await?;
        match round_in_transaction(client, pair).await {
            Ok(round) => {
                client.batch_execute("commit").await?;
                Failpoint::RoundDone.pass();
                tracing::debug!(entries = round.entries, keys = round.keys, took = ?round.took, "round");
                segment::tend(client, pair).await?;
                return Ok(round);
            }
            Err(error) => {
                client.batch_execute("rollback").await?;
                if error.kind != Kind::Transient || tried >= TRIES {
                    return Err(explain(error, client, pair).await);
                }
            }
        }
    }
    unreachable!("the loop returns")
}

/// A round in the transaction that is open on `client`: REPEATABLE READ, or one that holds the lock
/// that keeps all writers away.
pub async fn round_in_transaction(client: &Client, pair: &Pair) -> Result<Round> {
    let started = Instant::now();
    let grew: Option<i64> = client
        .query_one(&text(pair, sql!("replay/read_balance.sql")), &[&pair.from_oid])
        .await?
        .try_get("rows")?;
    collect(client, pair).await?;
    let moves: bool = pair.has_memory()
        && client.query_one(&text(pair, sql!("replay/has_moves.sql")), &[]).await?.try_get("moves")?;
    let (keys, growth) = bring_over(client, pair, "", moves).await?;
    if grew.is_some_and(|grew| grew != growth) {
        // Keys differ in `from` and are the same in `to`: one row would stand for two.
        return Err(Error::needs_person(format!(
            "two rows of {} have keys that are one and the same in the other shape",
            pair.from.shown()
        ))
        .because(format!("it grew by {} rows and the other by {growth}", grew.unwrap_or_default()))
        .state("nothing was swapped; all changes are still being captured")
        .hint("Find such rows, change their keys, and run the same command again."));
    }
    let entries = client.execute(&text(pair, sql!("replay/delete_log.sql")), &[]).await?;
    Ok(Round { entries, keys, took: started.elapsed() })
}

/// Takes what is logged into the set of keys, in a transaction of its own. The log then is bounded by
/// the number of rows, not by how long a copy or an index build takes.
pub async fn drain(client: &Client, pair: &Pair) -> Result<u64> {
    client.batch_execute("begin isolation level repeatable read").await?;
    let drained = async {
        collect(client, pair).await?;
        Ok::<u64, Error>(client.execute(&text(pair, sql!("replay/delete_log.sql")), &[]).await?)
    };
    match drained.await {
        Ok(entries) => {
            client.batch_execute("commit").await?;
            Failpoint::Drained.pass();
            Ok(entries)
        }
        Err(error) => {
            client.batch_execute("rollback").await?;
            if error.kind == Kind::Transient { Ok(0) } else { Err(error) }
        }
    }
}

/// Adds the keys of all entries that the snapshot sees to the set, and obeys the mark of a TRUNCATE.
async fn collect(client: &Client, pair: &Pair) -> Result<()> {
    let truncated: bool = client
        .query_one(&text(pair, sql!("replay/has_truncate_mark.sql")), &[])
        .await?
        .try_get("truncated")?;
    if truncated {
        // Whatever was brought over before is gone; what came after the TRUNCATE is in the log, and
        // no round before this one can have seen it without seeing the mark.
        client.batch_execute(&format!("truncate only {}", pair.to)).await?;
    }
    let segment = segment::current_keys(client, pair).await?;
    client.execute(&text(pair, sql!("replay/drain_log.sql").fill("keys_segment", &segment)), &[]).await?;
    Ok(())
}

/// Brings the keys of the set over in batches until none is left: after a copy there may be as many as
/// rows were changed meanwhile. Each batch is exact for its keys in its own snapshot; whatever changes
/// later is in the log.
/// Where rows must be followed from key to key, only a round can do it: it still has the log.
pub async fn catch_up(client: &Client, pair: &Pair, watch: &Watch) -> Result<u64> {
    let mut total = 0;
    if pair.has_memory() {
        return Ok(0);
    }
    let started = Instant::now();
    let (mut entries, mut least, mut since_least) = (0u64, i64::MAX, 0);
    loop {
        entries += drain(client, pair).await?;
        let waiting: i64 =
            client.query_one(&format!("select count(*) from {}", pair.keys), &[]).await?.try_get(0)?;
        if waiting <= BATCH {
            return Ok(total);
        }
        since_least = if waiting < least { 0 } else { since_least + 1 };
        least = least.min(waiting);
        if since_least >= PATIENCE {
            let a_second = |number: u64| number as f64 / started.elapsed().as_secs_f64();
            return Err(Error::failed(format!(
                "{} is written to faster than its rows can be brought over",
                pair.from.shown()
            ))
            .because(format!(
                "{:.0} changes a second came in, {:.0} rows a second were brought over, {waiting} wait",
                a_second(entries),
                a_second(total)
            ))
            .hint("Run the same command again at a quieter time; nothing is lost."));
        }
        watch.progress(total as i64, total as i64 + waiting, "keys", "bringing changed rows over");
        client.batch_execute(&format!("analyze {}", segment::current_keys(client, pair).await?)).await?;
        let mut left = waiting;
        while left > 0 {
            let keys = batch(client, pair).await?;
            segment::tend(client, pair).await?;
            if keys == 0 {
                break;
            }
            total += keys;
            left -= keys as i64;
            watch.progress(total as i64, total as i64 + left.max(0), "keys", "bringing changed rows over");
        }
    }
}

/// Brings over the first keys of the set, by their place in its file.
async fn batch(client: &Client, pair: &Pair) -> Result<u64> {
    // One reader that starts at the beginning sees the keys in the order of their places.
    client
        .batch_execute(
            "begin isolation level repeatable read; set local synchronize_seqscans = off; \
             set local max_parallel_workers_per_gather = 0",
        )
        .await?;
    let end: Option<String> = client
        .query_opt(&format!("select ctid::text from {} offset {BATCH} limit 1", pair.keys), &[])
        .await?
        .map(|row| row.get(0));
    let part = end.map(|ctid| format!(" where ctid < '{ctid}'")).unwrap_or_default();
    match bring_over(client, pair, &part, false).await {
        Ok((keys, _)) => {
            client.batch_execute("commit").await?;
            Failpoint::BatchDone.pass();
            Ok(keys)
        }
        Err(error) => {
            client.batch_execute("rollback").await?;
            // The other half of an exchange may be beyond this batch or still in the log: one full
            // round sees both.
            if is_unique_violation(&error) {
                Ok(round(client, pair).await?.keys)
            } else {
                Err(explain(error, client, pair).await)
            }
        }
    }
}

/// Makes `to` right for the keys of the set, or of the part of it that `part` (a WHERE clause) says,
/// and takes these from the set. Row by row in place; and if rows have moved from key to key, or two
/// have exchanged a unique value, by taking all of them out and putting them in again.
/// Says how many keys that were, and by how many rows `to` grew.
async fn bring_over(client: &Client, pair: &Pair, part: &str, moves: bool) -> Result<(u64, i64)> {
    let is_empty: bool = client
        .query_one(&format!("select not exists (select from {}{part})", pair.keys), &[])
        .await?
        .try_get(0)?;
    if is_empty {
        return Ok((0, 0));
    }
    let keys = Fragment::trusted(if part.is_empty() {
        pair.keys.to_string()
    } else {
        format!("(select * from {}{part})", pair.keys)
    });
    // Few keys against large tables: never a scan of these, whatever the planner thinks of fresh tables.
    client
        .batch_execute(
            "set local enable_hashjoin = off; set local enable_mergejoin = off; savepoint pgrecast_in_place",
        )
        .await?;
    let in_place = if moves { None } else { Some(in_place(client, pair, &keys).await) };
    let growth = match in_place {
        None => take_out_and_put_in(client, pair, &keys).await?,
        Some(Ok(growth)) => growth,
        Some(Err(error)) if is_unique_violation(&error) => {
            client.batch_execute("rollback to savepoint pgrecast_in_place").await?;
            take_out_and_put_in(client, pair, &keys).await?
        }
        Some(Err(error)) => return Err(error),
    };
    Ok((client.execute(&format!("delete from {}{part}", pair.keys), &[]).await?, growth))
}

async fn in_place(client: &Client, pair: &Pair, keys: &Fragment) -> Result<i64> {
    let deleted = client.execute(&fill(pair, sql!("replay/delete_gone.sql"), keys), &[]).await?;
    client.execute(&fill(pair, sql!("replay/update_changed.sql"), keys), &[]).await?;
    let inserted = client.execute(&fill(pair, sql!("replay/insert_missing.sql"), keys), &[]).await?;
    // A deferred constraint is to speak now, where we can answer.
    client.batch_execute("set constraints all immediate").await?;
    Ok(inserted as i64 - deleted as i64)
}

async fn take_out_and_put_in(client: &Client, pair: &Pair, keys: &Fragment) -> Result<i64> {
    let taken = client.execute(&fill(pair, sql!("replay/take_out.sql"), keys), &[]).await?;
    let mut growth = -(taken as i64);
    // Rows taken out have no index: how many there are decides how to join them.
    client
        .batch_execute(&format!(
            "set local enable_hashjoin = on; set local enable_mergejoin = on; analyze {}; analyze {}",
            segment::current_keys(client, pair).await?,
            pair.held
        ))
        .await?;
    for statement in [sql!("replay/put_in_held.sql"), sql!("replay/insert_missing.sql")] {
        growth += client.execute(&fill(pair, statement, keys), &[]).await? as i64;
    }
    client.batch_execute(&format!("delete from {}; set constraints all immediate", pair.held)).await?;
    Ok(growth)
}

fn fill(pair: &Pair, statement: Statement, keys: &Fragment) -> String {
    let statement = if statement.has("keys") { statement.fill("keys", keys) } else { statement };
    text(pair, statement)
}

fn text(pair: &Pair, statement: Statement) -> String {
    pair.fill(statement).text()
}

fn is_unique_violation(error: &Error) -> bool {
    error.is_sqlstate(&SqlState::UNIQUE_VIOLATION) || error.is_sqlstate(&SqlState::EXCLUSION_VIOLATION)
}

/// Data that the other shape can not take is for a person to decide. Not within a transaction.
async fn explain(error: Error, client: &Client, pair: &Pair) -> Error {
    let is_data = error
        .sqlstate
        .as_deref()
        .is_some_and(|code| code.starts_with("22") || code.starts_with("23") || code == "P0001");
    if !is_data {
        return error;
    }
    let key = match misfit::find(client, pair).await {
        Ok(Some(key)) => format!(": {key}"),
        _ => String::new(), // the server's message has to do
    };
    error
        .context(format!(
            "a row of {} that was changed meanwhile does not fit the other shape{key}",
            pair.from.shown()
        ))
        .with_kind(Kind::NeedsPerson)
        .state(match pair.direction {
            Direction::Forward => "nothing was swapped; all changes are still being captured",
            Direction::Reverse => {
                "the new table is in place; all changes are still being captured for the way back"
            }
        })
        .hint("Correct that row and run the same command again.")
}
