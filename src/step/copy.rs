//! Copy: every block of the original as it was when capture began, by ranges of blocks, several at a
//! time, into a shadow without any index. Each chunk is one transaction together with the record that
//! it is done.
//!
//! Relies on capture: a row that changes is in the log, whether it is copied never, once or twice.
//! Holds afterwards: a row that did not change since capture began was copied exactly once.
//! Run twice: chunks that are done are left alone. Killed midway: open chunks are copied again; an
//! orphan that still copies one holds its record, and who waits for it looks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::pair::Pair;
use super::replay::{self, Which};
use super::watch::Watch;
use crate::db::Sessions;
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::sql;
use crate::pace::ChunkSize;
use crate::state::TableChange;

/// How to copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyOptions {
    /// Sessions that copy at the same time.
    pub jobs: usize,
    /// How long a chunk should take.
    pub chunk_time: Duration,
}

/// A range of blocks to copy.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    id: i64,
    first: i64,
    end: i64,
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
    for n in 1..=options.jobs.max(1) {
        let (sessions, change, pair) = (sessions.clone(), change.clone(), Arc::clone(pair));
        let leftovers = Arc::clone(&leftovers);
        workers.spawn(async move {
            let session = sessions.open(&format!("copy {n}")).await?;
            work(&session, &change, &pair, options, &leftovers).await
        });
    }
    let drainer = sessions.open("drain").await?;
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
    Ok(Chunk { id: row.try_get("id")?, first: row.try_get("first_block")?, end: row.try_get("end_block")? })
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

async fn work(
    session: &Client,
    change: &TableChange,
    pair: &Pair,
    options: CopyOptions,
    leftovers: &tokio::sync::Mutex<Vec<Chunk>>,
) -> Result<Copied> {
    let mut size = ChunkSize::new(options.chunk_time);
    loop {
        let next = leftovers.lock().await.pop();
        let next = match next {
            Some(chunk) => Some(chunk),
            None => session
                .query_opt(&sql!("copy/claim_chunk.sql").text(), &[&change.id, &size.blocks()])
                .await?
                .as_ref()
                .map(chunk_from_row)
                .transpose()?,
        };
        let Some(chunk) = next else { return Ok(Copied::All) };
        Failpoint::ChunkClaimed.pass();
        let started = Instant::now();
        if copy_with_retry(session, change, pair, chunk).await? == Copied::FileChanged {
            return Ok(Copied::FileChanged);
        }
        size.learn(chunk.end - chunk.first, started.elapsed());
    }
}

async fn copy_with_retry(
    session: &Client,
    change: &TableChange,
    pair: &Pair,
    chunk: Chunk,
) -> Result<Copied> {
    let mut tries = 0;
    loop {
        let error = match copy_chunk(session, change, pair, chunk).await {
            Ok(copied) => return Ok(copied),
            Err(error) => error,
        };
        if error.kind == Kind::ConnectionLost {
            return Err(error);
        }
        session.batch_execute("rollback").await?;
        tries += 1;
        if error.kind == Kind::Transient && tries < 5 {
            continue;
        }
        return Err(if replay::is_misfit(&error) {
            find_bad_row(session, pair, chunk, error).await?
        } else {
            error
        });
    }
}

/// One chunk, in one transaction with its record.
async fn copy_chunk(session: &Client, change: &TableChange, pair: &Pair, chunk: Chunk) -> Result<Copied> {
    session.batch_execute("begin").await?;
    let is_ours = session.query_opt(&sql!("copy/lock_chunk.sql").text(), &[&chunk.id]).await?.is_some();
    if !is_ours {
        session.batch_execute("rollback").await?;
        return Ok(Copied::All); // an orphan of a killed run finished it while we waited
    }
    // The lock comes first: whoever rewrites or truncates the table now has to wait for this chunk.
    session.batch_execute(&format!("lock table only {} in access share mode", pair.from)).await?;
    let same_file: bool = session
        .query_one(
            "select pg_catalog.pg_relation_filenode(original_oid) is not distinct from filenode
             from pgrecast.table_change where id = $1",
            &[&change.id],
        )
        .await?
        .try_get(0)?;
    if !same_file {
        session.batch_execute("rollback").await?;
        return Ok(Copied::FileChanged);
    }
    let statement = pair.fill(sql!("copy/copy_chunk.sql")).text();
    let rows = session.execute(&statement, &[&chunk.first, &chunk.end]).await?;
    session.execute(&sql!("copy/finish_chunk.sql").text(), &[&chunk.id, &(rows as i64)]).await?;
    session.batch_execute("commit").await?;
    Failpoint::ChunkCopied.pass();
    tracing::debug!(chunk = chunk.id, first = chunk.first, end = chunk.end, rows, "chunk copied");
    Ok(Copied::All)
}

/// Finds the rows of a chunk that do not fit, by halving down to a block and then row by row, and
/// names the first of them. Copies nothing.
async fn find_bad_row(session: &Client, pair: &Pair, chunk: Chunk, error: Error) -> Result<Error> {
    let statement = pair.fill(sql!("copy/copy_chunk.sql")).text();
    let (mut first, mut end) = (chunk.first, chunk.end);
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
