//! Level: rounds until one is tiny, or as short as they get.
//!
//! Run twice: a level pair has a tiny round at once. Killed midway: rounds that are committed are done.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use uuid::Uuid;

use super::catch_up::Crew;
use super::round;
use crate::capture;
use crate::db::Sessions;
use crate::error::{Error, Result};
use crate::pair::Pair;
use crate::run::events::Watch;
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

/// Brings `to` level. Adds what it took to the migration's counts.
///
/// # Errors
/// With the rate, when writers are faster. [`crate::error::Kind::NeedsPerson`] when a row does not fit the
/// other shape.
pub async fn bring_level(
    client: &Client,
    sessions: &Sessions,
    migration: Uuid,
    change: &TableChange,
    pair: &Pair,
    watch: &Watch,
) -> Result<()> {
    let (mut count, mut keys) = (0i64, 0i64);
    let started = Instant::now();
    let mut crew = Crew::new(client, sessions);
    loop {
        capture::check(client, change, pair).await?;
        keys += crew.catch_up(pair, watch).await? as i64;
        let done = round::round(client, pair).await?;
        count += 1;
        keys += done.keys as i64;
        if done.took < TINY {
            break;
        }
        if count >= FEW && done.took < SHORT {
            // Several sessions leave less behind than one.
            keys += crew.catch_up(pair, watch).await? as i64;
            break;
        }
        let detail = format!("last round {} keys in {} ms", done.keys, done.took.as_millis());
        watch.progress(keys, keys, "keys", detail);
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
    client
        .execute(
            "update pgrecast.migration set keys_replayed = keys_replayed + $2, rounds = rounds + $3 where id = $1",
            &[&migration, &keys, &count],
        )
        .await?;
    Ok(())
}
