//! Verification: compares all rows of both tables by the image of every column.
//!
//! It compares slices (buckets of the key's hash) that together cover every possible key, each in its own snapshot.
//! Rows may differ only if a change of their key is still in the log in the same snapshot. A slice holds an ACCESS
//! SHARE lock, and is cancelled when another session waits for a conflicting one.
//! Run twice: compares again. Killed midway: the result does not count.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::db::Session;
use crate::error::{Error, Kind, Result};
use crate::name::{Fragment, Statement, sql};
use crate::pace::backoff;
use crate::pair::{Direction, Pair};
use crate::replay;
use crate::run::Run;
use crate::run::events::{Detail, Note, Unit};
use crate::state::TableChange;

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Rows that are equal in both tables.
    pub rows: i64,
    /// Keys that are exempt because a change of them is still in the log.
    pub pending: i64,
    /// Rows that differ although no change of them is in the log.
    pub differences: i64,
    /// The keys of some of these rows, and how they differ.
    pub examples: Vec<String>,
}

impl Verified {
    /// # Errors
    /// [`Kind::NeedsPerson`] with rows that differ, if any do.
    pub fn expect_equal(&self, pair: &Pair) -> Result<()> {
        if self.differences == 0 {
            return Ok(());
        }
        Err(Error::needs_person(format!(
            "{} rows of {} and {} differ, and no change of them is waiting in the log",
            self.differences,
            pair.from.shown(),
            pair.to.shown()
        ))
        .because(self.examples.join("; "))
        .state("nothing was swapped; the failed verification is recorded")
        .hint(match pair.direction {
            Direction::Forward => "Find out who wrote to pgrecast's tables, then run `pgrecast abort` and start again.",
            Direction::Reverse => {
                "Find out who wrote to the retired table. The new table is in place and complete: correct the \
                 retired rows and run the same command again, or keep the change with `pgrecast cleanup`."
            }
        }))
    }
}

/// A slice should not hold its snapshot much longer than a minute: this is about this number of bytes.
const SLICE_BYTES: i64 = 16 << 30;

/// How often to check whether a session waits for the table: much shorter than others may wait for a lock.
const LOOK: Duration = Duration::from_millis(100);

/// How often changes are replayed meanwhile.
const ROUND: Duration = Duration::from_secs(1);

/// Compares the two tables of a pair, up to the first slice in which rows differ.
///
/// # Errors
/// [`Kind::Transient`] if it must start again after another round.
pub async fn verify(run: &Run, change: &TableChange, pair: &Pair) -> Result<Verified> {
    let bytes: i64 = run
        .control
        .query_one("select pg_catalog.pg_table_size($1::oid)", &[&pair.from_oid])
        .await?
        .try_get(0)?;
    let slices = (bytes / SLICE_BYTES + 1).min(1024);
    let session = run.sessions.open("verify").await?;
    let mut total = Verified::default();
    for slice in 0..slices {
        run.events.progressed(slice, slices, Unit::Slices, Detail::Equal(total.rows));
        let found = giving_way(run, &session, pair, Slice { number: slice, of: slices }).await?;
        total.rows += found.rows;
        total.pending = total.pending.max(found.pending);
        total.differences += found.differences;
        total.examples.extend(found.examples);
        if total.differences > 0 {
            break;
        }
    }
    tracing::debug!(table = %change.name.shown(), rows = total.rows, pending = total.pending, "verified");
    Ok(total)
}

/// One of the buckets of the key's hash that together cover every possible key.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// Its number, from 0.
    pub number: i64,
    /// The number of buckets.
    pub of: i64,
}

impl Slice {
    /// The condition for a row whose key has these images; empty if there is only one slice.
    fn condition(self, key: &Fragment) -> Fragment {
        let Slice { number, of } = self;
        let hash = format!("pg_catalog.hash_record_extended(row({key})::record, 1) & {}", i64::MAX);
        Fragment::trusted(if of == 1 { String::new() } else { format!(" and ({hash}) % {of} = {number}") })
    }
}

/// Compares one slice. If another session waits for the table because of it, the slice is cancelled and repeated later:
/// readers would wait behind that session.
async fn giving_way(run: &Run, session: &Session, pair: &Pair, slice: Slice) -> Result<Verified> {
    let client = &run.control;
    let mut given_way = 0;
    loop {
        let mut slice = std::pin::pin!(verify_slice(session, pair, slice));
        let mut tick = tokio::time::interval(LOOK);
        let mut rounds = tokio::time::interval(ROUND);
        let mut waits = None;
        let found = loop {
            tokio::select! {
                found = &mut slice => break found,
                _ = tick.tick() => {
                    if let Some(somebody) = waiting(client, session, pair).await? {
                        cancel(client, session).await?;
                        waits = Some(somebody);
                    }
                }
                _ = rounds.tick() => keep_level(client, pair).await?,
            }
        };
        match (found, waits) {
            (Err(error), Some(somebody)) if error.is_sqlstate(&SqlState::QUERY_CANCELED) => {
                given_way += 1;
                run.events.noted(Note::VerificationGaveWay(somebody));
                tokio::time::sleep(backoff(given_way, Uuid::new_v4().as_u128() as u64)).await;
            }
            (found, _) => return found,
        }
    }
}

/// A round during the comparison, so that a transaction that begins now sees the up-to-date table. The replayed rows and
/// the removed entries of a round become visible together, so each slice sees both or neither. A TRUNCATE is replayed
/// later, because it needs a lock that conflicts with that of the slice.
async fn keep_level(client: &Client, pair: &Pair) -> Result<()> {
    let truncated = client.query_one(&pair.fill(sql!("replay/has_truncate_mark.sql")).text(), &[]).await?;
    if !truncated.try_get::<_, bool>("truncated")? {
        replay::round(client, pair).await?;
    }
    Ok(())
}

/// Cancels the statement of one of our sessions. The login role may do that, the table's owner may not.
async fn cancel(client: &Client, session: &Session) -> Result<()> {
    let pid = session.pid();
    let text = format!("begin; set local role none; select pg_catalog.pg_cancel_backend({pid}); commit");
    Ok(client.batch_execute(&text).await?)
}

/// A session that waits for the table because of one of ours.
async fn waiting(client: &Client, session: &Session, pair: &Pair) -> Result<Option<String>> {
    let statement = sql!("verify/list_waiting.sql").text();
    let rows = client.query(&statement, &[&pair.from_oid, &session.pid()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(format!("pid {} ({})", row.try_get::<_, i32>("pid")?, row.try_get::<_, String>("application")?)))
}

/// Compares one slice, in one snapshot.
///
/// # Errors
/// [`Kind::Transient`] if the table was truncated and that is not replayed yet.
pub async fn verify_slice(session: &Client, pair: &Pair, slice: Slice) -> Result<Verified> {
    // Acquire the locks before the snapshot: a TRUNCATE between the two would empty only one of the tables, and a
    // segment whose entries the snapshot sees could be dropped.
    session
        .batch_execute(&format!(
            "begin isolation level repeatable read; lock table only {}, {}, {} in access share mode",
            pair.from, pair.log, pair.keys
        ))
        .await?;
    let result = in_snapshot(session, pair, slice).await;
    session.batch_execute("rollback").await?;
    result
}

async fn in_snapshot(session: &Client, pair: &Pair, slice: Slice) -> Result<Verified> {
    let truncated: bool = session
        .query_one(&pair.fill(sql!("replay/has_truncate_mark.sql")).text(), &[])
        .await?
        .try_get("truncated")?;
    if truncated {
        return Err(Error::new(Kind::Transient, "the table was truncated just now"));
    }
    let pending: i64 =
        session.query_one(&pair.fill(sql!("replay/list_pending.sql")).text(), &[]).await?.try_get("keys")?;
    let (from, to) = digests(session, pair, slice, pending).await?;
    if from == to {
        return Ok(Verified { rows: from.0, pending, ..Verified::default() });
    }
    let (from_key, to_key) = pair.key_images();
    let list = sql!("verify/list_differences.sql")
        .fill("from_slice", &slice.condition(&from_key))
        .fill("to_slice", &slice.condition(&to_key));
    let rows = session.query(&pair.fill(list).text(), &[]).await?;
    if rows.is_empty() {
        // In a rollback, a retired value that still corresponds to the new one counts as equal.
        if pair.direction == Direction::Reverse {
            return Ok(Verified { rows: from.0, pending, ..Verified::default() });
        }
        // Do not guess which of the two comparisons is correct.
        return Err(Error::needs_person("the digests of both tables differ, but no row differs")
            .state("nothing was swapped")
            .hint("This is a defect of pgrecast: please report it."));
    }
    let differences: i64 = rows[0].try_get("differences")?;
    let examples: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row.get::<_, String>("key"), row.get::<_, String>("what")))
        .collect();
    Ok(Verified { rows: from.0, pending, differences, examples })
}

/// The number of rows and the digest of a slice, expected and actual.
async fn digests(
    session: &Client,
    pair: &Pair,
    slice: Slice,
    pending: i64,
) -> Result<((i64, i64), (i64, i64))> {
    let (from_images, to_images) = pair.images();
    let (from_key, to_key) = pair.key_images();
    let one = async |statement: Statement, images: &Fragment, key: &Fragment| -> Result<(i64, i64)> {
        let mut statement = statement.fill("images", images).fill("slice", &slice.condition(key));
        if pending == 0 {
            statement = statement.fill("pending", &pair.nothing_pending());
        }
        let text = pair.fill(statement).text();
        let row = session.query_one(&text, &[]).await?;
        Ok((row.try_get("rows")?, row.try_get("digest")?))
    };
    Ok((
        one(sql!("verify/digest_from.sql"), &from_images, &from_key).await?,
        one(sql!("verify/digest_to.sql"), &to_images, &to_key).await?,
    ))
}
