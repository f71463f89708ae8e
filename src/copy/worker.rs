//! A session that copies: claims chunks and copies them piece by piece.

use std::time::Instant;

use futures::future::try_join;
use tokio::sync::Mutex;
use tokio_postgres::{Client, Statement};

use super::{Copied, CopyOptions};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::sql;
use crate::pace::ChunkSize;
use crate::pair::Pair;
use crate::run::Gate;
use crate::state::Part;
use crate::state::chunk::{self, Chunk};

/// The number of pieces per chunk. A copy has millions of pieces, but should only have thousands of chunk records.
const PIECES: i64 = 128;

/// Into how many chunks per session the rest is divided, so that all sessions end at the same time.
const SHARES: i64 = 4;

/// The result of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// It is copied.
    Copied,
    /// Another session has copied up to this block.
    Behind(i64),
    /// The table has a new file.
    FileChanged,
}

/// A session that copies, with the statements that it runs again and again.
pub struct Worker<'a> {
    session: &'a Client,
    gate: Gate,
    pair: &'a Pair,
    lock: Statement,
    copy: Statement,
    finish: Statement,
}

impl<'a> Worker<'a> {
    /// Prepares its statements on a session.
    pub async fn new(session: &'a Client, gate: Gate, pair: &'a Pair) -> Result<Self> {
        Ok(Worker {
            session,
            gate,
            pair,
            lock: session.prepare(&chunk::lock_statement()).await?,
            copy: session.prepare(&pair.fill(sql!("copy/copy_chunk.sql")).text()).await?,
            finish: session.prepare(&chunk::finish_statement()).await?,
        })
    }

    pub(super) async fn work(
        &self,
        part: &Part,
        options: CopyOptions,
        leftovers: &Mutex<Vec<Chunk>>,
    ) -> Result<Copied> {
        let mut size = ChunkSize::new(options.chunk_time);
        let shares = options.jobs as i64 * SHARES;
        loop {
            let next = leftovers.lock().await.pop();
            let next = if next.is_some() {
                next
            } else {
                let blocks = size.blocks();
                chunk::claim(self.session, part.id, blocks * PIECES, blocks, shares).await?
            };
            let Some(mut chunk) = next else { return Ok(Copied::All) };
            Failpoint::ChunkClaimed.pass();
            while chunk.next < chunk.end {
                let piece = Chunk { end: chunk.end.min(chunk.next + size.blocks()), ..chunk };
                let started = Instant::now();
                match self.copy_with_retry(piece).await? {
                    Piece::Copied => {}
                    Piece::Behind(next) => {
                        chunk.next = next;
                        continue;
                    }
                    Piece::FileChanged => return Ok(Copied::FileChanged),
                }
                let took = started.elapsed();
                size.learn(piece.end - piece.next, took);
                chunk.next = piece.end;
                self.gate.pass(took).await;
            }
        }
    }

    async fn copy_with_retry(&self, piece: Chunk) -> Result<Piece> {
        let mut tries = 0;
        loop {
            let error = match self.copy(piece).await {
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
                find_bad_row(self.session, self.pair, piece, error).await?
            } else {
                error
            });
        }
    }

    /// Copies one piece, in one transaction with its record.
    pub async fn copy(&self, piece: Chunk) -> Result<Piece> {
        // The lock comes first: a session that rewrites or truncates the table now must wait for this piece.
        let begin = format!("begin; lock table only {} in access share mode", self.pair.from);
        let ((), record) = try_join(
            self.session.batch_execute(&begin),
            self.session.query_opt(&self.lock, &[&piece.id]), // sent at once, run after it
        )
        .await?;
        let (next, is_same_file) = match &record {
            Some(row) => (row.try_get("next_block")?, row.try_get("is_same_file")?),
            None => (piece.end, true), // an orphan of a killed run finished it while we waited
        };
        if !is_same_file || next != piece.next {
            self.session.batch_execute("rollback").await?;
            return Ok(if is_same_file { Piece::Behind(next) } else { Piece::FileChanged });
        }
        let rows = self.session.execute(&self.copy, &[&piece.next, &piece.end]).await?;
        try_join(
            self.session.execute(&self.finish, &[&piece.id, &piece.end, &(rows as i64)]),
            self.session.batch_execute("commit"), // a failed transaction is rolled back
        )
        .await?;
        Failpoint::ChunkCopied.pass();
        tracing::debug!(chunk = piece.id, first = piece.next, end = piece.end, rows, "copied");
        Ok(Piece::Copied)
    }
}

/// Finds the rows of a chunk that do not fit, by bisection down to a block and then row by row. Names the first of
/// them. Copies nothing.
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
            "Correct those rows and run `pgrecast run {table}` to continue, or `pgrecast abort {table}` to undo."
        )))
}
