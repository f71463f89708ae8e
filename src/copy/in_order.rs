//! The copy in the order of an index: one session reads the index and continues from its last position. For tables
//! whose rows should be stored in the order in which they are read.
//!
//! Relies on capture, as the other copy does: a row that changes meanwhile, or its position in the order, is in the
//! log.
//! Run twice: continues after the position that was recorded with the rows. Killed midway: the same.

use std::time::Instant;

use tokio_postgres::Client;

use super::worker::find_bad_row;
use super::{Copied, CopyOptions};
use crate::error::{Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::{Fragment, Ident, sql};
use crate::pace::ChunkSize;
use crate::pair::Pair;
use crate::plan::order::Order;
use crate::run::Gate;
use crate::shadow::find_order;
use crate::state::Part;
use crate::state::chunk::{Chunk, Ordered, OrderedStep};

/// This number of rows counts as one block for the adaptive chunk size.
const ROWS: i64 = 16;

/// The session that copies.
pub(super) struct Worker<'a> {
    pub(super) session: &'a Client,
    pub(super) gate: Gate,
    pub(super) part: &'a Part,
    pub(super) pair: &'a Pair,
    /// Total rows, as estimated.
    pub(super) rows: i64,
}

impl Worker<'_> {
    /// Copies what is not copied yet.
    pub(super) async fn work(&self, written: &[Ident], options: CopyOptions) -> Result<Copied> {
        let Worker { session, pair, .. } = *self;
        let order = find_order(session, pair.from_oid, written).await?;
        // Use the order of the index: never sort the table in each transaction.
        session
            .batch_execute("set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off")
            .await?;
        Ordered::claim(session, self.part.id).await?;
        let mut size = ChunkSize::new(options.chunk_time);
        let mut tries = 0;
        loop {
            let started = Instant::now();
            let rows = size.blocks() * ROWS;
            match self.copy(&order, rows).await {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => tries = 0,
                Err(error) if error.kind == Kind::ConnectionLost => return Err(error),
                Err(error) => {
                    session.batch_execute("rollback").await?;
                    tries += 1;
                    if error.kind != Kind::Transient || tries == 5 {
                        return Err(if error.is_misfit() {
                            let end = self.part.blocks.unwrap_or_default();
                            find_bad_row(session, pair, Chunk { id: 0, next: 0, end }, error).await?
                        } else {
                            error
                        });
                    }
                    continue;
                }
            }
            let took = started.elapsed();
            size.learn(rows / ROWS, took);
            self.gate.pass(took).await;
        }
    }

    /// Copies the next rows, in one transaction with their record. Returns how the copy ended, once it has.
    async fn copy(&self, order: &Order, rows: i64) -> Result<Option<Copied>> {
        let Worker { session, pair, .. } = *self;
        session.batch_execute(&format!("begin; lock table only {} in access share mode", pair.from)).await?;
        let Some(record) = Ordered::lock(session, self.part.id).await? else {
            session.batch_execute("rollback").await?;
            return Ok(Some(Copied::All));
        };
        if !record.is_same_file {
            session.batch_execute("rollback").await?;
            return Ok(Some(Copied::FileChanged));
        }
        Failpoint::ChunkClaimed.pass();
        let after = match record.position {
            Some(_) => order.behind(),
            None => Fragment::trusted("$2::text[] is null"),
        };
        let copy = sql!("copy/copy_in_order.sql")
            .fill("order", &order.terms())
            .fill("position", &order.position())
            .fill("after", &after);
        let row = session.query_one(&pair.fill(copy).text(), &[&rows, &record.position]).await?;
        let (read, copied): (i64, i64) = (row.try_get("rows_read")?, row.try_get("rows")?);
        let is_last = read < rows;
        let step = OrderedStep { read, copied, estimate: self.rows, is_last };
        record.move_on(session, row.try_get("position")?, step).await?;
        session.batch_execute("commit").await?;
        Failpoint::ChunkCopied.pass();
        Ok(is_last.then_some(Copied::All))
    }
}
