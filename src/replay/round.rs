//! Replay: makes the `to` row of every logged key equal to the mapped `from` row, or absent.
//!
//! One round is one REPEATABLE READ transaction with one snapshot S: it moves all log entries that S sees to a set of
//! keys, and makes each of these keys in `to` equal to its state in S. Log entry and row become visible together
//! because they commit together, so nothing depends on the order of entries, on sequences or on the order of commits.
//! Run twice: a round that finds nothing does nothing. Killed midway: the transaction is rolled back.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::misfit;
use crate::capture::segment;
use crate::error::{Error, Kind, Result};
use crate::failpoint::{Failpoint, many};
use crate::name::{Fragment, Statement, sql};
use crate::pair::{Direction, Pair};

/// The result of a round.
#[derive(Debug, Clone, Copy, Default)]
pub struct Round {
    /// Log entries processed.
    pub entries: u64,
    /// Distinct keys replayed.
    pub keys: u64,
    /// How long it took.
    pub took: Duration,
}

/// Settings for few keys and large tables: never scan the tables, even if the statistics of new tables mislead the
/// planner. A single reader that starts at the beginning sees the keys in the order in which they were inserted into
/// the set.
pub(super) const FEW_KEYS: &str = "set local enable_hashjoin = off; set local enable_mergejoin = off; \
     set local synchronize_seqscans = off; set local max_parallel_workers_per_gather = 0";

/// Up to this number of entries, a round does not need the key set.
const MANY: i64 = 500;

/// How often a round is retried after a transient error.
const TRIES: u32 = 5;

/// Performs one round of any size, in its own transaction.
pub async fn round(client: &Client, pair: &Pair) -> Result<Round> {
    for tried in 1.. {
        // Acquire the lock before the snapshot: after a TRUNCATE between the two, the snapshot would see an empty
        // table.
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

/// Performs a round in the open transaction of `client`: a REPEATABLE READ one, or one whose lock blocks all writers.
pub async fn round_in_transaction(client: &Client, pair: &Pair) -> Result<Round> {
    let started = Instant::now();
    let balance = client.query_one(&text(pair, sql!("replay/read_balance.sql")), &[&pair.from_oid]).await?;
    let (waiting, grew): (i64, Option<i64>) = (balance.try_get("entries")?, balance.try_get("rows")?);
    let is_apart = pair.keeps_keys_apart();
    let at_once = if waiting > many(MANY) && is_apart && !pair.has_memory() {
        take_all(client, pair).await?
    } else {
        Taken::default()
    };
    collect(client, pair, Which::All).await?;
    let moves = pair.has_memory() && has_moves(client, pair).await?;
    let (keys, growth) = bring_over(client, pair, moves).await?;
    if !is_apart && !pair.leaves_rows_out() && grew.is_some_and(|grew| grew != growth) {
        // Keys that differ in `from` are equal in `to`: two rows would become one.
        return Err(Error::needs_person(format!(
            "two rows of {} have keys that are equal in the other shape",
            pair.from.shown()
        ))
        .because(format!("it grew by {} rows, and the other table by {growth}", grew.unwrap_or_default()))
        .state("nothing was swapped; all changes are still being captured")
        .hint("Find these rows, change the key of one of them, and run the same command again."));
    }
    let entries = forget(client, pair, Which::All).await?;
    let (entries, keys) = (entries + at_once.entries, keys + at_once.keys);
    Ok(Round { entries, keys, took: started.elapsed() })
}

/// Which entries of the log to process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All that the snapshot sees.
    All,
    /// Those of rows whose key changed.
    Moves,
}

impl Which {
    fn condition(self, pair: &Pair) -> Fragment {
        match self {
            Which::All => Fragment::trusted("true"),
            Which::Moves => pair.moves(),
        }
    }
}

/// Moves the logged keys to the key set, in its own transaction. So the size of the log is bounded by the number of
/// rows, not by the duration of a copy or an index build.
pub async fn drain(client: &Client, pair: &Pair, which: Which) -> Result<()> {
    client.batch_execute("begin isolation level repeatable read").await?;
    let drained = async {
        collect(client, pair, which).await?;
        forget(client, pair, which).await
    };
    match drained.await {
        Ok(_) => {
            client.batch_execute("commit").await?;
            Failpoint::Drained.pass();
            Ok(())
        }
        Err(error) => {
            client.batch_execute("rollback").await?;
            if error.kind == Kind::Transient { Ok(()) } else { Err(error) }
        }
    }
}

/// Whether keys of rows changed: values that only `to` has must move with them.
pub(super) async fn has_moves(client: &Client, pair: &Pair) -> Result<bool> {
    Ok(client.query_one(&text(pair, sql!("replay/has_moves.sql")), &[]).await?.try_get("moves")?)
}

/// Adds the keys of entries that the snapshot sees to the set, and replays a logged TRUNCATE.
async fn collect(client: &Client, pair: &Pair, which: Which) -> Result<()> {
    if has_truncate_mark(client, pair).await? {
        // All rows replayed before are deleted. Changes after the TRUNCATE are in the log, and no earlier round can
        // have seen them without the mark of the TRUNCATE.
        client.batch_execute(&format!("truncate only {}; delete from only {}", pair.to, pair.log)).await?;
    }
    let segment = segment::current_keys(client, pair).await?;
    let drain = sql!("replay/drain_log.sql").fill("keys_segment", &segment);
    client.execute(&text(pair, drain.fill("which", &which.condition(pair))), &[]).await?;
    Ok(())
}

/// Deletes the entries whose keys are in the set. Returns their number.
async fn forget(client: &Client, pair: &Pair, which: Which) -> Result<u64> {
    let delete = sql!("replay/delete_log.sql").fill("which", &which.condition(pair));
    Ok(client.execute(&text(pair, delete), &[]).await?)
}

/// Whether the log contains a TRUNCATE that is not replayed yet.
pub(super) async fn has_truncate_mark(client: &Client, pair: &Pair) -> Result<bool> {
    let statement = text(pair, sql!("replay/has_truncate_mark.sql"));
    Ok(client.query_one(&statement, &[]).await?.try_get("truncated")?)
}

/// The counts of one statement.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    /// Entries of the log, or keys of the set.
    pub entries: u64,
    /// Distinct keys.
    pub keys: u64,
}

impl Taken {
    pub(super) fn from_row(row: &tokio_postgres::Row) -> Result<Self> {
        let count = |name| Ok::<_, Error>(row.try_get::<_, i64>(name)?.unsigned_abs());
        Ok(Taken { entries: count("taken")?, keys: count("keys")? })
    }
}

/// Replays the entries of rows whose key did not change, without the key set. Does nothing if that is not possible:
/// rows have exchanged a unique value, or the table was truncated.
async fn take_all(client: &Client, pair: &Pair) -> Result<Taken> {
    if has_truncate_mark(client, pair).await? {
        return Ok(Taken::default());
    }
    client.batch_execute(&format!("{FEW_KEYS}; savepoint pgrecast_at_once")).await?;
    let statement = taking(pair, sql!("replay/take_share.sql"));
    let every: [&(dyn ToSql + Sync); 4] = [&0i64, &i64::from(u32::MAX), &1i64, &0i64];
    let taken = async {
        let row = client.query_one(&statement, &every).await?;
        client.batch_execute("set constraints all immediate").await?;
        Taken::from_row(&row)
    };
    match taken.await {
        Err(error) if error.is_duplicate() => {
            client.batch_execute("rollback to savepoint pgrecast_at_once").await?;
            Ok(Taken::default())
        }
        other => other,
    }
}

/// One statement that takes keys with `take` and replays them.
pub(super) fn taking(pair: &Pair, take: Statement) -> String {
    let part = |statement| Fragment::trusted(fill(pair, statement, &Fragment::trusted("keys")));
    let insert = sql!("replay/insert_missing.sql").fill(
        "after",
        &Fragment::trusted(" and (select count(*) from gone) + (select count(*) from changed) >= 0"),
    );
    text(
        pair,
        sql!("replay/bring_over.sql")
            .fill("take", &Fragment::trusted(text(pair, take)))
            .fill("delete_gone", &part(sql!("replay/delete_gone.sql")))
            .fill("update_changed", &part(sql!("replay/update_changed.sql")))
            .fill("insert_missing", &part(insert)),
    )
}

/// Replays the keys of the set to `to`, and empties the set. It updates rows in place. If keys of rows changed, or rows
/// exchanged a unique value, it takes all these rows out and inserts them again. Returns the number of keys, and by how
/// many rows `to` grew.
async fn bring_over(client: &Client, pair: &Pair, moves: bool) -> Result<(u64, i64)> {
    let is_empty: bool =
        client.query_one(&format!("select not exists (select from {})", pair.keys), &[]).await?.try_get(0)?;
    if is_empty {
        return Ok((0, 0));
    }
    let keys = Fragment::trusted(pair.keys.to_string());
    client.batch_execute(&format!("{FEW_KEYS}; savepoint pgrecast_in_place")).await?;
    let in_place = if moves { None } else { Some(in_place(client, pair, &keys).await) };
    let growth = match in_place {
        None => take_out_and_put_in(client, pair, &keys).await?,
        Some(Ok(growth)) => growth,
        Some(Err(error)) if error.is_duplicate() => {
            client.batch_execute("rollback to savepoint pgrecast_in_place").await?;
            take_out_and_put_in(client, pair, &keys).await?
        }
        Some(Err(error)) => return Err(error),
    };
    Ok((client.execute(&format!("delete from {}", pair.keys), &[]).await?, growth))
}

/// Replays some keys to `to`: deletes, updates and inserts rows that differ. Returns by how many rows it grew.
async fn in_place(client: &Client, pair: &Pair, keys: &Fragment) -> Result<i64> {
    let deleted = client.execute(&fill(pair, sql!("replay/delete_gone.sql"), keys), &[]).await?;
    client.execute(&fill(pair, sql!("replay/update_changed.sql"), keys), &[]).await?;
    let inserted = client
        .execute(
            &fill(pair, sql!("replay/insert_missing.sql").fill("after", &Fragment::trusted("")), keys),
            &[],
        )
        .await?;
    // Check deferred constraints now, while we can handle the error.
    client.batch_execute("set constraints all immediate").await?;
    Ok(inserted as i64 - deleted as i64)
}

async fn take_out_and_put_in(client: &Client, pair: &Pair, keys: &Fragment) -> Result<i64> {
    let taken = client.execute(&fill(pair, sql!("replay/take_out.sql"), keys), &[]).await?;
    let mut growth = -(taken as i64);
    // Rows taken out have no index: the planner must choose the join by their number.
    client
        .batch_execute(&format!(
            "set local enable_hashjoin = on; set local enable_mergejoin = on; analyze {}; analyze {}",
            segment::current_keys(client, pair).await?,
            pair.held
        ))
        .await?;
    for statement in [
        sql!("replay/put_in_held.sql"),
        sql!("replay/insert_missing.sql").fill("after", &Fragment::trusted("")),
    ] {
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

/// Turns the error for data that the other shape cannot hold into one that needs a person. Not within a transaction.
pub(super) async fn explain(error: Error, client: &Client, pair: &Pair) -> Error {
    if !error.is_misfit() {
        return error;
    }
    let key = match misfit::find(client, pair).await {
        Ok(Some(key)) => format!(": {key}"),
        _ => String::new(), // only the server's message
    };
    error
        .context(format!("a changed row of {} does not fit the other shape{key}", pair.from.shown()))
        .with_kind(Kind::NeedsPerson)
        .state(match pair.direction {
            Direction::Forward => "nothing was swapped; all changes are still being captured",
            Direction::Reverse => {
                "the new table is in place; all changes are still being captured for a rollback"
            }
        })
        .hint("Correct that row and run the same command again.")
}
