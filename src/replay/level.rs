//! Level: rounds until one is tiny, or as short as they get.
//!
//! Run twice: a level pair has a tiny round at once. Killed midway: rounds that are committed are done.

use std::time::{Duration, Instant};

use super::catch_up::Crew;
use super::round;
use crate::capture;
use crate::error::{Error, Result};
use crate::pair::Pair;
use crate::run::Run;
use crate::run::events::{Detail, Unit};
use crate::state::TableChange;

/// A round that takes less than this is as near as rounds get.
const TINY: Duration = Duration::from_millis(20);

/// Where writers are so busy that rounds do not get tiny, one that takes less than this, and it was not the
/// first few, is near enough: under the lock of the swap no writer takes the processor from it.
const SHORT: Duration = Duration::from_millis(300);

/// How many rounds make it likely that the next will not be shorter.
const FEW: i64 = 5;

/// Rounds that do not get short are given up after so many.
const MOST: i64 = 1000;

/// Brings `to` level. Adds what it took to the table's counts.
///
/// # Errors
/// With the rate, when writers are faster. [`crate::error::Kind::NeedsPerson`] when a row does not fit the
/// other shape.
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
            // Several sessions leave less behind than one.
            keys += crew.catch_up(pair).await? as i64;
            break;
        }
        let detail = Detail::Round { keys: done.keys, took: done.took };
        run.events.progressed(keys, keys, Unit::Keys, detail);
        if count >= MOST {
            return Err(Error::failed(format!(
                "{} is written to faster than its rows can be brought over",
                pair.from.shown()
            ))
            .because(format!(
                "{:.0} changed rows a second came in and were brought over, and the last round still took {} ms",
                keys as f64 / started.elapsed().as_secs_f64(),
                done.took.as_millis()
            ))
            .hint("Run the same command again at a quieter time; nothing is lost."));
        }
    }
    change.count_rounds(client, count, keys).await
}
