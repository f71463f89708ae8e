//! A part of a table change: one heap that is copied to one heap. An ordinary table has one part.

use tokio_postgres::{Client, Row};

use crate::error::Result;

/// A heap that is copied.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its id in the state.
    pub id: i64,
    /// The table change that it belongs to.
    pub table_change: i64,
    /// The heap that rows come from.
    pub from_oid: u32,
    /// The heap that rows go to.
    pub to_oid: u32,
    /// Its number of blocks, as read after capture began; `None`: its copy has not begun.
    pub blocks: Option<i64>,
}

impl Part {
    /// The parts of a table change, in order; none until the shadow exists.
    pub async fn list(client: &Client, table_change: i64) -> Result<Vec<Self>> {
        const TEXT: &str = "select id, table_change_id, from_oid, to_oid, blocks
             from pgrecast.part where table_change_id = $1 order by ordinal";
        client.query(TEXT, &[&table_change]).await?.iter().map(Self::from_row).collect()
    }

    /// Records one, in the transaction that creates its shadow.
    pub async fn insert(
        client: &Client,
        table_change: i64,
        ordinal: i32,
        (from, to): (u32, u32),
    ) -> Result<()> {
        const TEXT: &str =
            "insert into pgrecast.part (table_change_id, ordinal, from_oid, to_oid) values ($1, $2, $3, $4)";
        client.execute(TEXT, &[&table_change, &ordinal, &from, &to]).await?;
        Ok(())
    }

    /// Starts its copy again: records the current file and number of blocks, and that no block is copied. In the
    /// transaction that empties the target heap.
    pub async fn begin_copy(&self, client: &Client) -> Result<()> {
        const FORGET: &str = "delete from pgrecast.chunk where part_id = $1";
        const BEGIN: &str = "update pgrecast.part set next_block = 0,
                 filenode = pg_catalog.pg_relation_filenode(from_oid),
                 blocks = pg_catalog.pg_relation_size(from_oid)
                          / pg_catalog.current_setting('block_size')::bigint
             where id = $1";
        client.execute(FORGET, &[&self.id]).await?;
        client.execute(BEGIN, &[&self.id]).await?;
        Ok(())
    }

    fn from_row(row: &Row) -> Result<Self> {
        Ok(Part {
            id: row.try_get("id")?,
            table_change: row.try_get("table_change_id")?,
            from_oid: row.try_get("from_oid")?,
            to_oid: row.try_get("to_oid")?,
            blocks: row.try_get("blocks")?,
        })
    }
}
