//! Copy: every block of the original as it was when capture began, by ranges of blocks, several at a
//! time, into a shadow without any index. A worker claims a chunk and copies it part by part, each part in one
//! transaction together with the record of how far it is, with a pause after each.
//!
//! Relies on capture: a row that changes is in the log, whether it is copied never, once or twice.
//! Holds afterwards: a row that did not change since capture began was copied exactly once.
//! Run twice: what is done is left alone. Killed midway: open chunks are copied from where they were; an
//! orphan that still copies one holds its record, and who waits for it looks again.

pub mod in_order;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join;
use tokio_postgres::{Client, Statement};

use crate::db::Sessions;
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::sql;
use crate::pace::ChunkSize;
use crate::pair::Pair;
use crate::replay::{self, Which};
use crate::run::events::Watch;
use crate::state::TableChange;

/// How to copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyOptions {
    /// Sessions that copy at the same time.
    pub jobs: usize,
    /// How long a transaction of the copy should take.
    pub chunk_time: Duration,
    /// How long to pause after it, in such times.
    pub nice_ratio: f64,
}

impl CopyOptions {
    /// With this many sessions that pause as told. Without a `chunk_time`: 3 ms if they pause, so that nobody waits for
    /// long behind one, else 30 ms.
    #[must_use]
    pub fn new(jobs: usize, chunk_time: Option<Duration>, nice_ratio: f64) -> Self {
        let usual = if nice_ratio > 0.0 { 3 } else { 30 };
        CopyOptions { jobs, chunk_time: chunk_time.unwrap_or(Duration::from_millis(usual)), nice_ratio }
    }
}

/// Parts of a chunk: of these there are by the million, records of chunks should be by the thousand.
const PARTS: i64 = 128;

/// Into how many chunks for each session what is left is divided, so that all end at the same time.
const SHARES: i64 = 4;

/// A range of blocks to copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    id: i64,
    next: i64,
    end: i64,
}

/// All of the table.
pub(super) fn whole(change: &TableChange) -> Chunk {
    Chunk { id: 0, next: 0, end: change.blocks.unwrap_or_default() }
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It is copied.
    Copied,
    /// Others have copied up to this block.
    Behind(i64),
    /// The table's file is another one.
    FileChanged,
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// All blocks are copied.
    All,
    /// The table's file is another one: it was truncated or rewritten. Start again.
    FileChanged,
}

/// Notes what is to be copied: the blocks there are now, after the commit of the capture triggers, and
/// the file they are in. Empties the shadow if a copy had begun.
pub async fn begin(client: &Client, change: &TableChange) -> Result<()> {
    client
        .batch_execute(&format!(
            "begin; truncate only {}; delete from pgrecast.chunk where table_change_id = {}",
            change.shadow(),
            change.id
        ))
        .await?;
    client
        .execute(
            "update pgrecast.table_change set next_block = 0,
                 filenode = pg_catalog.pg_relation_filenode(original_oid),
                 blocks = pg_catalog.pg_relation_size(original_oid)
                          / pg_catalog.current_setting('block_size')::bigint
             where id = $1",
            &[&change.id],
        )
        .await?;
    client.batch_execute("commit").await?;
    Failpoint::CopyBegun.pass();
    Ok(())
}

/// Copies what is not copied yet.
pub async fn copy(
    client: &Client,
    sessions: &Sessions,
    change: &TableChange,
    pair: &Arc<Pair>,
    options: CopyOptions,
    watch: &Watch,
) -> Result<Copied> {
    let mut workers = tokio::task::JoinSet::new();
    let leftovers = unfinished(client, change).await?;
    let leftovers = Arc::new(tokio::sync::Mutex::new(leftovers));
    let jobs = if change.asked.order.is_empty() { options.jobs.max(1) } else { 1 };
    for n in 1..=jobs {
        let (sessions, change, pair) = (sessions.clone(), change.clone(), Arc::clone(pair));
        let leftovers = Arc::clone(&leftovers);
        workers.spawn(async move {
            let session = sessions.open_worker(&format!("copy {n}")).await?;
            if !change.asked.order.is_empty() {
                return in_order::work(&session, &change, &pair, &change.asked.order, options).await;
            }
            Worker::new(&session, &pair).await?.work(&change, options, &leftovers).await
        });
    }
    let drainer = sessions.open_worker("drain").await?;
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
                report(client, change, watch).await?;
            }
        }
    }
    report(client, change, watch).await?;
    Ok(outcome)
}

async fn unfinished(client: &Client, change: &TableChange) -> Result<Vec<Chunk>> {
    let rows = client.query(&sql!("copy/list_unfinished_chunks.sql").text(), &[&change.id]).await?;
    rows.iter().map(chunk_from_row).collect()
}

fn chunk_from_row(row: &tokio_postgres::Row) -> Result<Chunk> {
    Ok(Chunk { id: row.try_get("id")?, next: row.try_get("next_block")?, end: row.try_get("end_block")? })
}

async fn report(client: &Client, change: &TableChange, watch: &Watch) -> Result<()> {
    let row = client.query_one(&sql!("copy/read_progress.sql").text(), &[&change.id]).await?;
    let rows: i64 = row.try_get("rows_copied")?;
    let blocks_done: i64 = row.try_get("blocks_done")?;
    let blocks: Option<i64> = client
        .query_one("select blocks from pgrecast.table_change where id = $1", &[&change.id])
        .await?
        .try_get(0)?;
    let blocks = blocks.unwrap_or_default();
    // Rows in all are known when all blocks are: until then as many as the blocks so far suggest.
    let total = if blocks_done == 0 {
        change.rows_estimated.max(rows)
    } else {
        (rows as f64 * blocks as f64 / blocks_done as f64) as i64
    };
    watch.progress(rows, total, "rows", "");
    Ok(())
}

/// A session that copies, with the statements that it runs again and again.
struct Worker<'a> {
    session: &'a Client,
    pair: &'a Pair,
    lock: Statement,
    copy: Statement,
    finish: Statement,
}

impl<'a> Worker<'a> {
    async fn new(session: &'a Client, pair: &'a Pair) -> Result<Self> {
        Ok(Worker {
            session,
            pair,
            lock: session.prepare(&sql!("copy/lock_chunk.sql").text()).await?,
            copy: session.prepare(&pair.fill(sql!("copy/copy_chunk.sql")).text()).await?,
            finish: session.prepare(&sql!("copy/finish_chunk.sql").text()).await?,
        })
    }

    async fn work(
        &self,
        change: &TableChange,
        options: CopyOptions,
        leftovers: &tokio::sync::Mutex<Vec<Chunk>>,
    ) -> Result<Copied> {
        let mut size = ChunkSize::new(options.chunk_time);
        loop {
            let next = leftovers.lock().await.pop();
            let next = match next {
                Some(chunk) => Some(chunk),
                None => self
                    .session
                    .query_opt(
                        &sql!("copy/claim_chunk.sql").text(),
                        &[
                            &change.id,
                            &(size.blocks() * PARTS),
                            &size.blocks(),
                            &(options.jobs as i64 * SHARES),
                        ],
                    )
                    .await?
                    .as_ref()
                    .map(chunk_from_row)
                    .transpose()?,
            };
            let Some(mut chunk) = next else { return Ok(Copied::All) };
            Failpoint::ChunkClaimed.pass();
            while chunk.next < chunk.end {
                let part = Chunk { end: chunk.end.min(chunk.next + size.blocks()), ..chunk };
                let started = Instant::now();
                match self.copy_with_retry(part).await? {
                    Part::Copied => {}
                    Part::Behind(next) => {
                        chunk.next = next;
                        continue;
                    }
                    Part::FileChanged => return Ok(Copied::FileChanged),
                }
                let took = started.elapsed();
                size.learn(part.end - part.next, took);
                chunk.next = part.end;
                tokio::time::sleep(took.mul_f64(options.nice_ratio)).await;
            }
        }
    }

    async fn copy_with_retry(&self, part: Chunk) -> Result<Part> {
        let mut tries = 0;
        loop {
            let error = match self.copy(part).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if error.kind == Kind::ConnectionLost {
                return Err(error);
            }
            self.session.batch_execute("rollback").await?;
            tries += 1;
            if error.kind == Kind::Transient && tries < 5 {
                continue;
            }
            return Err(if error.is_misfit() {
                find_bad_row(self.session, self.pair, part, error).await?
            } else {
                error
            });
        }
    }

    /// One part, in one transaction with the record of it.
    async fn copy(&self, part: Chunk) -> Result<Part> {
        // The lock comes first: whoever rewrites or truncates the table now has to wait for this part.
        let begin = format!("begin; lock table only {} in access share mode", self.pair.from);
        let ((), record) = try_join(
            self.session.batch_execute(&begin),
            self.session.query_opt(&self.lock, &[&part.id]), // sent at once, run after it
        )
        .await?;
        let (next, is_same_file) = match &record {
            Some(row) => (row.try_get("next_block")?, row.try_get("is_same_file")?),
            None => (part.end, true), // an orphan of a killed run finished it while we waited
        };
        if !is_same_file || next != part.next {
            self.session.batch_execute("rollback").await?;
            return Ok(if is_same_file { Part::Behind(next) } else { Part::FileChanged });
        }
        let rows = self.session.execute(&self.copy, &[&part.next, &part.end]).await?;
        try_join(
            self.session.execute(&self.finish, &[&part.id, &part.end, &(rows as i64)]),
            self.session.batch_execute("commit"), // of a transaction that failed it is a rollback
        )
        .await?;
        Failpoint::ChunkCopied.pass();
        tracing::debug!(chunk = part.id, first = part.next, end = part.end, rows, "copied");
        Ok(Part::Copied)
    }
}

/// Finds the rows of a chunk that do not fit, by halving down to a block and then row by row, and
/// names the first of them. Copies nothing.
pub(super) async fn find_bad_row(session: &Client, pair: &Pair, chunk: Chunk, error: Error) -> Result<Error> {
    let statement = pair.fill(sql!("copy/copy_chunk.sql")).text();
    let (mut first, mut end) = (chunk.next, chunk.end);
    while end - first > 1 {
        let middle = first + (end - first) / 2;
        session.batch_execute("begin").await?;
        let result = session.execute(&statement, &[&first, &middle]).await;
        session.batch_execute("rollback").await?;
        if result.is_err() {
            end = middle;
        } else {
            first = middle;
        }
    }
    let probe = pair.fill(sql!("copy/probe_row.sql")).text();
    let mut keys = Vec::new();
    let mut cause = None;
    for row in session.query(&pair.fill(sql!("copy/list_block_rows.sql")).text(), &[&first]).await? {
        let tid: String = row.try_get("tid")?;
        session.batch_execute("begin").await?;
        let result = session.execute(&probe, &[&tid]).await;
        session.batch_execute("rollback").await?;
        if let Err(error) = result {
            keys.push(row.try_get::<_, String>("shown")?);
            cause.get_or_insert(Error::from(error));
        }
        if keys.len() == 5 {
            break;
        }
    }
    let mut found = cause.unwrap_or(error);
    found.kind = Kind::NeedsPerson;
    let shown = if keys.is_empty() { String::new() } else { format!("; first rows: {}", keys.join("; ")) };
    let table = pair.from.name.shown();
    Ok(found
        .context(format!("rows of {} do not fit the new shape{shown}", pair.from.shown()))
        .state("the copy stopped; the table is unchanged and changes are still being captured")
        .hint(format!(
            "Correct those rows and run `pgrecast run {table}` to go on, or `pgrecast abort {table}`."
        )))
}
