//! Level: repeats rounds until one is tiny, or as short as possible.
//!
//! Run twice: if the pair is up to date, the first round is tiny. Killed midway: committed rounds are done.

use std::time::{Duration, Instant};

use super::catch_up::Crew;
use super::round;
use crate::capture;
use crate::error::{Error, Result};
use crate::pair::Pair;
use crate::run::Run;
use crate::run::events::{Detail, Unit};
use crate::state::TableChange;

/// A round shorter than this is short enough.
const TINY: Duration = Duration::from_millis(20);

/// If writers are so busy that rounds do not become tiny, a round shorter than this is enough after the first few.
/// Under the lock of the swap no writer competes for the processor.
const SHORT: Duration = Duration::from_millis(300);

/// After this number of rounds the next one is probably not shorter.
const FEW: i64 = 5;

/// The maximum number of rounds.
const MOST: i64 = 1000;

/// Brings `to` up to date. Adds rounds and keys to the table's counts.
///
/// # Errors
/// If writers are faster; the error has the rate. [`crate::error::Kind::NeedsPerson`] if a row does not fit the other
/// shape.
pub async fn bring_level(run: &Run, change: &TableChange, pair: &Pair) -> Result<()> {
    let client = &run.control;
    let (mut count, mut keys) = (0i64, 0i64);
    let started = Instant::now();
    let mut crew = Crew::new(run);
    loop {
        capture::check(client, change, pair).await?;
        keys += crew.catch_up(pair).await? as i64;
        let done = round::round(client, pair).await?;
        count += 1;
        keys += done.keys as i64;
        if done.took < TINY {
            break;
        }
        if count >= FEW && done.took < SHORT {
            // Several sessions leave a smaller backlog than one.
            keys += crew.catch_up(pair).await? as i64;
            break;
        }
        let detail = Detail::Round { keys: done.keys, took: done.took };
        run.events.progressed(keys, keys, Unit::Keys, detail);
        if count >= MOST {
            return Err(Error::failed(format!(
                "applications write to {} faster than pgrecast can replay the changes",
                pair.from.shown()
            ))
            .because(format!(
                "{:.0} changed rows per second are logged and replayed, but the last round still took {} ms",
                keys as f64 / started.elapsed().as_secs_f64(),
                done.took.as_millis()
            ))
            .hint("Run the same command again at a quieter time; no work is lost."));
        }
    }
    change.count_rounds(client, count, keys).await
}
