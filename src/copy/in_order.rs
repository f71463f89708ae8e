//! The copy in an order: by one session, which reads an index from where it left off. For a table that is to lie as
//! it is read.
//!
//! Relies on capture, as the other copy does: a row that changes meanwhile, also its place in the order, is in the log.
//! Run twice: goes on behind the position that was written down with the rows. Killed midway: the same.

use std::time::Instant;

use tokio_postgres::Client;

use super::{Copied, CopyOptions, find_bad_row, whole};
use crate::error::{Code, Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::{Fragment, Ident, sql};
use crate::pace::ChunkSize;
use crate::pair::Pair;
use crate::plan::order::{Order, OrderIndex};
use crate::state::TableChange;

/// So many rows stand for a block: their number is what is adapted to the time that they take.
const ROWS: i64 = 16;

/// Finds the order that was asked for.
///
/// # Errors
/// Refused, when there is no index for it.
pub async fn find(client: &Client, table: u32, written: &[Ident]) -> Result<Order> {
    let rows = client.query(&sql!("copy/list_orders.sql").text(), &[&table]).await?;
    let indexes = rows
        .iter()
        .map(|row| {
            let names: Vec<String> = row.try_get("columns")?;
            let types: Vec<String> = row.try_get("types")?;
            Ok(OrderIndex {
                name: Ident::new(row.try_get::<_, String>("name")?),
                is_unique: row.try_get("is_unique")?,
                columns: names.into_iter().map(Ident::new).zip(types).collect(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Order::find(&indexes, written).map_err(|why| {
        let names: Vec<String> = written.iter().map(Ident::shown).collect();
        let message = format!("--order-by {}: {why}", names.join(", "));
        Error::refused(Code::NoOrder, message).state("nothing was changed")
    })
}

/// Copies what is not copied yet.
pub async fn work(
    session: &Client,
    change: &TableChange,
    pair: &Pair,
    written: &[Ident],
    options: CopyOptions,
) -> Result<Copied> {
    let order = find(session, pair.from_oid, written).await?;
    // The order is had from the index, not by sorting the table for each part.
    session
        .batch_execute("set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off")
        .await?;
    session.execute(&sql!("copy/claim_whole.sql").text(), &[&change.id]).await?;
    let mut size = ChunkSize::new(options.chunk_time);
    let mut tries = 0;
    loop {
        let started = Instant::now();
        let rows = size.blocks() * ROWS;
        match part(session, change, pair, &order, rows).await {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => tries = 0,
            Err(error) if error.kind == Kind::ConnectionLost => return Err(error),
            Err(error) => {
                session.batch_execute("rollback").await?;
                tries += 1;
                if error.kind != Kind::Transient || tries == 5 {
                    let is_misfit = error.is_misfit();
                    return Err(if is_misfit {
                        find_bad_row(session, pair, whole(change), error).await?
                    } else {
                        error
                    });
                }
                continue;
            }
        }
        let took = started.elapsed();
        size.learn(rows / ROWS, took);
        tokio::time::sleep(took.mul_f64(options.nice_ratio)).await;
    }
}

/// The next rows, in one transaction with the record of them. How the copy ended, once it has.
async fn part(
    session: &Client,
    change: &TableChange,
    pair: &Pair,
    order: &Order,
    rows: i64,
) -> Result<Option<Copied>> {
    session.batch_execute(&format!("begin; lock table only {} in access share mode", pair.from)).await?;
    let Some(record) = session.query_opt(&sql!("copy/lock_whole.sql").text(), &[&change.id]).await? else {
        session.batch_execute("rollback").await?;
        return Ok(Some(Copied::All));
    };
    if !record.try_get::<_, bool>("is_same_file")? {
        session.batch_execute("rollback").await?;
        return Ok(Some(Copied::FileChanged));
    }
    Failpoint::ChunkClaimed.pass();
    let (id, so_far): (i64, Option<Vec<String>>) = (record.try_get("id")?, record.try_get("position")?);
    let after = if so_far.is_some() { order.behind() } else { Fragment::trusted("$2::text[] is null") };
    let copy = sql!("copy/copy_in_order.sql")
        .fill("order", &order.terms())
        .fill("position", &order.position())
        .fill("after", &after);
    let row = session.query_one(&pair.fill(copy).text(), &[&rows, &so_far]).await?;
    let (read, copied): (i64, i64) = (row.try_get("rows_read")?, row.try_get("rows")?);
    let position: Option<Vec<String>> = row.try_get("position")?;
    let is_last = read < rows;
    let move_on = sql!("copy/move_on.sql").text();
    let estimate = change.rows_estimated;
    session.execute(&move_on, &[&id, &position.or(so_far), &read, &copied, &estimate, &is_last]).await?;
    session.batch_execute("commit").await?;
    Failpoint::ChunkCopied.pass();
    Ok(is_last.then_some(Copied::All))
}
