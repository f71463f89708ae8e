//! Records of chunks: ranges of a part's blocks, each claimed by one session, and their progress.

use tokio_postgres::{Client, Row};

use crate::error::Result;
use crate::name::sql;

/// A range of blocks to copy.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    /// Its id in the state.
    pub id: i64,
    /// The first block that is not copied yet.
    pub next: i64,
    /// The block after the last.
    pub end: i64,
}

impl Chunk {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Chunk { id: row.try_get("id")?, next: row.try_get("next_block")?, end: row.try_get("end_block")? })
    }
}

/// The progress of the copy of a table.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyProgress {
    /// Rows copied.
    pub rows: i64,
    /// Chunks copied.
    pub chunks_done: i64,
    /// Chunks claimed so far.
    pub chunks_claimed: i64,
    /// Blocks copied.
    pub blocks_done: i64,
    /// Total blocks; 0 before the copy begins.
    pub blocks: i64,
}

/// Reads the progress of all parts of a table change.
pub async fn progress(client: &Client, table_change: i64) -> Result<CopyProgress> {
    let row = client.query_one(&sql!("state/read_copy_progress.sql").text(), &[&table_change]).await?;
    Ok(CopyProgress {
        rows: row.try_get("rows_copied")?,
        chunks_done: row.try_get("chunks_done")?,
        chunks_claimed: row.try_get("chunks_claimed")?,
        blocks_done: row.try_get("blocks_done")?,
        blocks: row.try_get("blocks")?,
    })
}

/// Seconds from the beginning of capture to the last chunk; none before the first.
pub async fn seconds(client: &Client, table_change: i64) -> Result<Option<f64>> {
    Ok(client
        .query_one(&sql!("state/read_copy_seconds.sql").text(), &[&table_change])
        .await?
        .try_get("seconds")?)
}

/// Chunks of a part that an earlier run claimed and did not finish.
pub async fn unfinished(client: &Client, part: i64) -> Result<Vec<Chunk>> {
    let rows = client.query(&sql!("state/list_unfinished_chunks.sql").text(), &[&part]).await?;
    rows.iter().map(Chunk::from_row).collect()
}

/// Claims the next chunk of a part; none if all are claimed.
pub async fn claim(
    client: &Client,
    part: i64,
    blocks: i64,
    least: i64,
    shares: i64,
) -> Result<Option<Chunk>> {
    let statement = sql!("state/claim_chunk.sql").text();
    let row = client.query_opt(&statement, &[&part, &blocks, &least, &shares]).await?;
    row.as_ref().map(Chunk::from_row).transpose()
}

/// The statement that locks a chunk's record, to be prepared. $1 chunk; returns `next_block` and `is_same_file`, or no
/// row if the chunk is already copied.
#[must_use]
pub fn lock_statement() -> String {
    sql!("state/lock_chunk.sql").text()
}

/// The statement that records the progress of a chunk. $1 chunk, $2 block after the last, $3 rows copied.
#[must_use]
pub fn finish_statement() -> String {
    sql!("state/finish_chunk.sql").text()
}

/// A part that is copied in an order, as one chunk.
#[derive(Debug, Clone)]
pub struct Ordered {
    /// The chunk.
    pub id: i64,
    /// The last position that was copied.
    pub position: Option<Vec<String>>,
    /// Whether the table still has the file that is being copied.
    pub is_same_file: bool,
}

impl Ordered {
    /// Claims a whole part, unless that is done already.
    pub async fn claim(client: &Client, part: i64) -> Result<()> {
        client.execute(&sql!("state/claim_whole.sql").text(), &[&part]).await?;
        Ok(())
    }

    /// Locks its record; none if all of it is copied.
    pub async fn lock(client: &Client, part: i64) -> Result<Option<Self>> {
        let row = client.query_opt(&sql!("state/lock_whole.sql").text(), &[&part]).await?;
        row.map(|row| {
            Ok(Ordered {
                id: row.try_get("id")?,
                position: row.try_get("position")?,
                is_same_file: row.try_get("is_same_file")?,
            })
        })
        .transpose()
    }

    /// Records the progress, in the transaction that copied the rows.
    pub async fn move_on(&self, client: &Client, to: Option<Vec<String>>, step: OrderedStep) -> Result<()> {
        let OrderedStep { read, copied, estimate, is_last } = step;
        let position = to.or_else(|| self.position.clone());
        client
            .execute(
                &sql!("state/move_chunk_on.sql").text(),
                &[&self.id, &position, &read, &copied, &estimate, &is_last],
            )
            .await?;
        Ok(())
    }
}

/// The result of one transaction of such a copy.
#[derive(Debug, Clone, Copy)]
pub struct OrderedStep {
    /// Rows read.
    pub read: i64,
    /// Rows copied.
    pub copied: i64,
    /// Total rows, as estimated.
    pub estimate: i64,
    /// Whether there are no more rows.
    pub is_last: bool,
}
