//! Copies some rows to the empty shadow and builds its indexes there, to measure the estimate.
//!
//! The caller rolls all of it back.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::catalog::Definition;
use crate::error::{Error, Kind, Result};
use crate::name::{Fragment, sql};
use crate::plan::estimate::Sample;
use crate::plan::shadow::Place;
use crate::plan::{Blueprint, Kind as DependentKind};

/// From how many places of the table the sample is taken.
const PLACES: i64 = 16;

/// Blocks from each place: 512 kB with the usual 8 kB.
const BLOCKS: i64 = 64;

/// The maximum duration: an estimate does not justify a long transaction.
const LONGEST: Duration = Duration::from_secs(10);

/// Takes the sample in the open transaction of `client`, which has just built the shadow. `None`: there are no rows.
pub(super) async fn take(
    client: &Client,
    original: &Definition,
    place: &Place,
    blueprint: &Blueprint,
) -> Result<Option<Sample>> {
    let row = client.query_one(&sql!("preview/read_blocks.sql").text(), &[&original.table.oid]).await?;
    let blocks: i64 = row.try_get("blocks")?;
    let copy = sql!("copy/copy_chunk.sql")
        .fill("to", &Fragment::join([&place.shadow], ""))
        .fill("columns", &Fragment::join(blueprint.forward.columns().iter().map(|o| &o.name), ", "))
        .fill("values", &Fragment::join(blueprint.forward.values(), ", "))
        .fill("source", &blueprint.forward.source(&original.table.name, &[]));
    // The server reports the amount of WAL per statement, not per session.
    let copy = format!("explain (analyze, wal, costs off, timing off, format json) {}", copy.text());
    let began = Instant::now();
    let mut sample = Sample::default();
    for first in places(blocks) {
        let end = (first + BLOCKS).min(blocks);
        // EXPLAIN takes no parameters.
        let text = copy.replace("$1", &first.to_string()).replace("$2", &end.to_string());
        let row = client.query_one(&text, &[]).await.map_err(does_not_fit)?;
        let said: serde_json::Value = row.try_get(0)?;
        let top = &said[0];
        sample.blocks += end - first;
        sample.rows += top["Plan"]["Plans"][0]["Actual Rows"].as_f64().unwrap_or_default() as i64;
        sample.wal_bytes += top["Plan"]["WAL Bytes"].as_i64().unwrap_or_default();
        sample.copy_seconds += top["Execution Time"].as_f64().unwrap_or_default() / 1000.0;
        if began.elapsed() > LONGEST {
            break;
        }
    }
    if sample.rows == 0 {
        return Ok(None);
    }
    let began = Instant::now();
    for index in &blueprint.dependents {
        if matches!(index.kind, DependentKind::KeyIndex | DependentKind::Index) {
            for statement in &index.create[..index.build.statements] {
                client.batch_execute(statement).await?;
            }
        }
    }
    sample.index_seconds = began.elapsed().as_secs_f64();
    let shadow = place.shadow.to_string();
    let row = client.query_one(&sql!("preview/read_size.sql").text(), &[&shadow]).await?;
    sample.table_bytes = row.try_get("table_bytes")?;
    sample.index_bytes = row.try_get("index_bytes")?;
    sample.total_blocks = blocks;
    Ok(Some(sample))
}

fn does_not_fit(error: tokio_postgres::Error) -> Error {
    let error = Error::from(error);
    if !error.is_misfit() {
        return error;
    }
    error
        .context("a row of the sample does not fit the new shape")
        .with_kind(Kind::NeedsPerson)
        .state("nothing was changed")
        .hint("--check-data counts such rows and names some of them.")
}

/// Places spread evenly over the table; all of a small table.
fn places(blocks: i64) -> Vec<i64> {
    let step = (blocks / PLACES).max(BLOCKS);
    (0..blocks).step_by(step as usize).take(PLACES as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_table_and_do_not_overlap() {
        for blocks in [0, 1, 63, 64, 65, 1000, 1024, 1025, 1_000_000] {
            let found = places(blocks);
            assert!(found.len() <= PLACES as usize);
            assert!(found.iter().all(|first| *first < blocks), "{blocks}: {found:?}");
            assert!(found.windows(2).all(|pair| pair[1] - pair[0] >= BLOCKS), "{blocks}: {found:?}");
            assert_eq!(found.is_empty(), blocks == 0);
        }
    }
}
