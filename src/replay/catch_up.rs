//! Catch-up: replays most of the changes before a round does the rest, in batches and with several sessions in
//! parallel.
//!
//! First the key set: each batch takes some blocks of it. Then the log: each session takes the keys with one remainder
//! of their hash, so no two sessions process the same key. A batch is a transaction of its own, and exact for its keys
//! as of its snapshot; later changes are in the log. What a batch cannot do is left to the following round, which sees
//! everything: the other half of an exchange of unique values may be in another batch, and a row whose key changed has
//! two keys.
//! Run twice: replays what is left. Killed midway: committed batches are done.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio_postgres::Client;

use super::round::{self, Taken, Which};
use crate::capture::segment;
use crate::db::Session;
use crate::error::{Error, Kind, Result};
use crate::failpoint::{Failpoint, many};
use crate::name::sql;
use crate::pace::Headway;
use crate::pair::Pair;
use crate::run::Run;
use crate::run::events::{Detail, Unit};

/// A backlog of at most this size is left to a round.
const FEW: i64 = 2_000;

/// From this number of entries on, it begins with two sessions.
const MANY: i64 = 20_000;

/// Keys per batch: with more, a snapshot would last long; with fewer, round trips would cost more than the work.
const BATCH: RangeInclusive<i64> = 500..=20_000;

/// A pass shorter than this means that catch-up is complete.
const SHORT: Duration = Duration::from_millis(200);

/// How long to work before measuring the backlog again, unless measuring itself takes long.
const PASS: Duration = Duration::from_secs(3);

/// The backlog: keys in the set, entries in the log, and the blocks of the largest segment of each.
#[derive(Debug, Clone, Copy)]
struct Backlog {
    keys: i64,
    entries: i64,
    key_blocks: i64,
    log_blocks: i64,
}

impl Backlog {
    async fn read(client: &Client, pair: &Pair) -> Result<Self> {
        let statement = pair.fill(sql!("replay/measure_backlog.sql")).text();
        let row = client.query_one(&statement, &[&pair.keys.to_string(), &pair.log.to_string()]).await?;
        Ok(Backlog {
            keys: row.try_get("keys")?,
            entries: row.try_get("entries")?,
            key_blocks: row.try_get("key_blocks")?,
            log_blocks: row.try_get("log_blocks")?,
        })
    }
}

/// The range of a batch: blocks of each segment, from the first to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Take {
    /// A range of the set.
    Keys(i64, i64),
    /// A range of the log: the keys with one session's remainder.
    Entries(i64, i64),
}

/// The sessions that catch up: the control session, and additional ones when needed.
pub struct Crew<'a> {
    run: &'a Run,
    helpers: Vec<Session>,
}

impl<'a> Crew<'a> {
    /// Only the control session, until more are needed.
    #[must_use]
    pub fn new(run: &'a Run) -> Self {
        Crew { run, helpers: Vec::new() }
    }

    fn len(&self) -> usize {
        1 + self.helpers.len()
    }

    fn shown(&self) -> String {
        if self.helpers.is_empty() { "1 session".into() } else { format!("{} sessions", self.len()) }
    }

    /// Opens sessions up to this number; continues with fewer if the server accepts no more.
    async fn grow(&mut self, wanted: usize) {
        while self.len() < wanted {
            match self.run.sessions.open_worker(&format!("replay {}", self.len())).await {
                Ok(session) => self.helpers.push(session),
                Err(error) => {
                    tracing::warn!(%error, "could not open another session for the replay");
                    return;
                }
            }
        }
    }

    fn too_slow(&self, pair: &Pair, [came_in, taken, waiting]: [i64; 3], took: Duration) -> Error {
        let a_second = |number: i64| number as f64 / took.as_secs_f64();
        let sessions = self.shown();
        Error::failed(format!(
            "applications write to {} faster than pgrecast can replay the changes",
            pair.from.shown()
        ))
        .because(format!(
            "{:.0} changes per second are logged, but only {:.0} replayed by {sessions}; {waiting} are waiting",
            a_second(came_in),
            a_second(taken),
        ))
        .hint("Run the same command again at a quieter time; no work is lost.")
    }

    fn clients(&self) -> Vec<&Client> {
        std::iter::once(&*self.run.control).chain(self.helpers.iter().map(|session| &**session)).collect()
    }

    /// Replays the backlog in the set and in the log until it is small, or until only a round can do the rest. Returns
    /// the number of keys.
    ///
    /// # Errors
    /// If writers are faster; the error has both rates. [`Kind::NeedsPerson`] if a row does not fit the other shape:
    /// all other batches are replayed then.
    pub async fn catch_up(&mut self, pair: &Pair) -> Result<u64> {
        let run = self.run;
        let control = &run.control;
        // If different keys may become equal, a round counts rows with the log, and batches would make that count
        // wrong. So only the backlog of the copy is replayed in batches, and then the whole log is moved to the set.
        let is_apart = pair.keeps_keys_apart();
        if !is_apart && (pair.has_memory() || Backlog::read(control, pair).await?.keys <= many(FEW)) {
            return Ok(0);
        }
        let started = Instant::now();
        let mut headway = Headway::with(self.len(), many(MANY));
        let mut all = Outcome::default();
        let (mut last, mut first) = (Outcome::default(), None);
        loop {
            let looked = Instant::now();
            if !pair.has_memory() {
                let which = if is_apart { Which::Moves } else { Which::All };
                round::drain(control, pair, which).await?;
            }
            let backlog = Backlog::read(control, pair).await?;
            let waiting = backlog.keys + backlog.entries;
            if waiting <= many(FEW) || (!is_apart && backlog.keys <= many(FEW)) {
                return Ok(all.keys);
            }
            let Some(wanted) = headway.learn(waiting, last.taken, started.elapsed()) else {
                let came_in = waiting - first.unwrap_or(waiting) + all.taken;
                return Err(self.too_slow(pair, [came_in, all.taken, waiting], started.elapsed()));
            };
            Failpoint::Measured.pass();
            first.get_or_insert(waiting);
            self.grow(wanted).await;
            let sessions = self.len();
            let note = |keys: u64| {
                let keys = (all.keys + keys) as i64;
                run.events.progressed(keys, keys + waiting, Unit::Keys, Detail::Sessions(sessions));
            };
            let batches = if backlog.keys > many(FEW) {
                parts(backlog, self.len())
            } else {
                stretches(backlog, self.len(), pair.has_memory())
            };
            let began = Instant::now();
            let until = began + PASS.max(10 * looked.elapsed());
            last = bring_over(&self.clients(), pair, &batches, until, &note).await?;
            let took = began.elapsed();
            tracing::debug!(?backlog, ?last, sessions = self.len(), ?took, "caught up");
            segment::tend(control, pair).await?;
            all.keys += last.keys;
            all.taken += last.taken;
            if let Some(error) = last.misfit {
                return Err(round::explain(error, control, pair).await);
            }
            if last.has_rest || (backlog.keys <= many(FEW) && took < SHORT) {
                return Ok(all.keys);
            }
        }
    }
}

/// Divides the set into batches, for this number of sessions.
fn parts(backlog: Backlog, sessions: usize) -> Vec<Take> {
    let wanted = (backlog.keys / (2 * sessions as i64)).clamp(many(*BATCH.start()), *BATCH.end());
    ranges(backlog.key_blocks, backlog.keys, wanted).map(|(first, end)| Take::Keys(first, end)).collect()
}

/// Divides the log into batches, each for all sessions.
fn stretches(backlog: Backlog, sessions: usize, at_once: bool) -> Vec<Take> {
    let wanted = if at_once { backlog.entries } else { sessions as i64 * BATCH.end() };
    ranges(backlog.log_blocks, backlog.entries, wanted)
        .map(|(first, end)| Take::Entries(first, end))
        .collect()
}

/// Ranges of blocks with about `wanted` rows each, if `blocks` contain `rows`.
fn ranges(blocks: i64, rows: i64, wanted: i64) -> impl Iterator<Item = (i64, i64)> {
    let step = (i128::from(blocks) * i128::from(wanted) / i128::from(rows.max(1))).max(1) as i64;
    (0..=blocks / step).map(move |n| (n * step, (n + 1) * step))
}

/// The result of the batches.
#[derive(Debug, Default)]
struct Outcome {
    /// Keys replayed.
    keys: u64,
    /// Entries of the log or of the set that were processed.
    taken: i64,
    /// Some need a round.
    has_rest: bool,
    /// Why the other shape cannot hold a row.
    misfit: Option<Error>,
}

/// Replays all batches, each session its share.
async fn bring_over(
    sessions: &[&Client],
    pair: &Pair,
    batches: &[Take],
    until: Instant,
    note: &impl Fn(u64),
) -> Result<Outcome> {
    let done = AtomicU64::new(0);
    let shares = join_all(sessions.iter().enumerate().map(async |(number, client)| {
        let mut outcome = Outcome::default();
        for (place, take) in batches.iter().enumerate() {
            if matches!(take, Take::Keys(..)) && place % sessions.len() != number {
                continue;
            }
            if place > 0 && Instant::now() > until {
                break;
            }
            match batch(client, pair, *take, sessions.len(), number).await {
                Ok(Some(Taken { keys, entries, .. })) => {
                    outcome.keys += keys;
                    outcome.taken += entries as i64;
                    note(done.fetch_add(keys, Ordering::Relaxed) + keys);
                }
                Ok(None) => outcome.has_rest = true,
                Err(error) if error.is_misfit() => outcome.misfit = Some(error),
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }))
    .await;
    let mut all = Outcome::default();
    for share in shares {
        let Outcome { keys, taken, has_rest, misfit } = share?;
        all.keys += keys;
        all.taken += taken;
        all.has_rest |= has_rest;
        all.misfit = all.misfit.or(misfit);
    }
    Ok(all)
}

/// Replays one batch. `None`: it needs a round.
async fn batch(
    client: &Client,
    pair: &Pair,
    take: Take,
    sessions: usize,
    number: usize,
) -> Result<Option<Taken>> {
    // If two sessions wait for each other's unique values, one gives up before the server detects a deadlock.
    client
        .batch_execute(&format!(
            "begin isolation level repeatable read; {}; set local lock_timeout = '100ms'",
            round::FEW_KEYS
        ))
        .await?;
    match batch_in_transaction(client, pair, take, sessions, number).await {
        Ok(Some(done)) => {
            client.batch_execute("commit").await?;
            Failpoint::BatchDone.pass();
            Ok(Some(done))
        }
        other => {
            client.batch_execute("rollback").await?;
            match other {
                // Two sessions had different images of one key, or two rows exchange a value.
                Err(error) if error.kind == Kind::Transient || error.is_duplicate() => Ok(None),
                other => other,
            }
        }
    }
}

async fn batch_in_transaction(
    client: &Client,
    pair: &Pair,
    take: Take,
    sessions: usize,
    number: usize,
) -> Result<Option<Taken>> {
    if round::has_truncate_mark(client, pair).await?
        || (pair.has_memory() && round::has_moves(client, pair).await?)
    {
        return Ok(None);
    }
    let (of, number) = (sessions as i64, number as i64);
    let row = match take {
        Take::Keys(first, end) => {
            let text = round::taking(pair, sql!("replay/take_part.sql"));
            client.query_one(&text, &[&first, &end]).await?
        }
        Take::Entries(first, end) => {
            let text = round::taking(pair, sql!("replay/take_share.sql"));
            client.query_one(&text, &[&first, &end, &of, &number]).await?
        }
    };
    client.batch_execute("set constraints all immediate").await?;
    Taken::from_row(&row).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_cover_every_block_once(rows in 0i64..1 << 24, blocks in 0i64..1 << 18, wanted in 500i64..160_000) {
            let ranges: Vec<_> = ranges(blocks.min(rows), rows, wanted).collect();
            prop_assert_eq!(ranges[0].0, 0);
            prop_assert!(ranges.windows(2).all(|two| two[0].1 == two[1].0));
            prop_assert!(ranges.last().is_some_and(|last| last.1 > blocks.min(rows)));
        }
    }
}
