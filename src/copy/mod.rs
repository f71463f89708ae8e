//! Copy: copies every block that the original had when capture began, by ranges of blocks, several in parallel, to a
//! shadow without indexes. A worker claims a chunk and copies it piece by piece. Each piece is one transaction together
//! with the record of its progress, and is followed by a pause.
//!
//! Relies on capture: a row that changes is in the log, whether it is copied zero times, once or twice.
//! Holds afterwards: a row that did not change since capture began was copied exactly once.
//! Run twice: skips what is done. Killed midway: open chunks continue from their recorded position. An orphan that
//! still copies a chunk locks its record; another worker waits for that lock and reads the record again.

mod in_order;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_postgres::Client;

pub use worker::{Piece, Worker};

use crate::error::{Error, Result};
use crate::failpoint::Failpoint;
use crate::name::Ident;
use crate::pair::Pair;
use crate::replay::{self, Which};
use crate::run::Run;
use crate::run::events::{Detail, Unit};
use crate::state::{self, Part, TableChange};

/// Options of the copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyOptions {
    /// Sessions that copy in parallel.
    pub jobs: usize,
    /// Target duration of one copy transaction.
    pub chunk_time: Duration,
}

impl CopyOptions {
    /// Options with this number of sessions. The default of `chunk_time` is 3 ms with pauses, so that other sessions
    /// never wait long behind a transaction, otherwise 30 ms.
    #[must_use]
    pub fn new(jobs: usize, chunk_time: Option<Duration>, is_nice: bool) -> Self {
        let usual = if is_nice { 3 } else { 30 };
        CopyOptions { jobs, chunk_time: chunk_time.unwrap_or(Duration::from_millis(usual)) }
    }
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// All blocks are copied.
    All,
    /// The table has a new file: it was truncated or rewritten. Start again.
    FileChanged,
}

/// Records what to copy: the blocks that exist now, after the commit of the capture triggers, and their file. Empties
/// the shadow if a copy had begun.
pub async fn begin(client: &Client, change: &TableChange) -> Result<()> {
    client.batch_execute(&format!("begin; truncate only {}", change.shadow())).await?;
    for part in Part::list(client, change.id).await? {
        part.begin_copy(client).await?;
    }
    client.batch_execute("commit").await?;
    Failpoint::CopyBegun.pass();
    Ok(())
}

/// Copies the rest of one part of a table.
pub async fn copy(
    run: &Run,
    change: &TableChange,
    part: &Part,
    pair: &Arc<Pair>,
    options: CopyOptions,
) -> Result<Copied> {
    let client = &run.control;
    let mut workers = start(run, change, part, pair, options).await?;
    let drainer = run.sessions.open_worker("drain").await?;
    let mut outcome = Copied::All;
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            done = workers.join_next() => match done {
                None => break,
                Some(result) => match result.map_err(|e| Error::failed(format!("a copy worker failed: {e}")))?? {
                    Copied::All => {}
                    Copied::FileChanged => outcome = Copied::FileChanged,
                },
            },
            _ = tick.tick() => {
                replay::drain(&drainer, pair, Which::All).await?;
                report(run, change).await?;
            }
        }
    }
    report(run, change).await?;
    tracing::debug!(part = part.id, ?outcome, pid = client.pid(), "part copied");
    Ok(outcome)
}

/// Starts the copy sessions: only one if rows are copied in an order.
async fn start(
    run: &Run,
    change: &TableChange,
    part: &Part,
    pair: &Arc<Pair>,
    options: CopyOptions,
) -> Result<JoinSet<Result<Copied>>> {
    let mut workers = JoinSet::new();
    let order: Vec<Ident> = change.asked.order.iter().map(Ident::new).collect();
    if !order.is_empty() {
        let (sessions, gate) = (run.sessions.clone(), run.gate);
        let (change, part, pair) = (change.clone(), part.clone(), Arc::clone(pair));
        workers.spawn(async move {
            let session = sessions.open_worker("copy 1").await?;
            let rows = change.rows_estimated;
            in_order::Worker { session: &session, gate, part: &part, pair: &pair, rows }
                .work(&order, options)
                .await
        });
        return Ok(workers);
    }
    let leftovers = Arc::new(Mutex::new(state::chunk::unfinished(&run.control, part.id).await?));
    for n in 1..=options.jobs.max(1) {
        let (sessions, gate) = (run.sessions.clone(), run.gate);
        let (part, pair, leftovers) = (part.clone(), Arc::clone(pair), Arc::clone(&leftovers));
        workers.spawn(async move {
            let session = sessions.open_worker(&format!("copy {n}")).await?;
            Worker::new(&session, gate, &pair).await?.work(&part, options, &leftovers).await
        });
    }
    Ok(workers)
}

async fn report(run: &Run, change: &TableChange) -> Result<()> {
    let known = state::chunk::progress(&run.control, change.id).await?;
    // The number of rows is only known after all blocks. Until then, extrapolate from the blocks so far.
    let total = if known.blocks_done == 0 {
        change.rows_estimated.max(known.rows)
    } else {
        (known.rows as f64 * known.blocks as f64 / known.blocks_done as f64) as i64
    };
    run.events.progressed(known.rows, total, Unit::Rows, Detail::None);
    Ok(())
}
