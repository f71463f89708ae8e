//! Records of the segments of logs and key sets.

use tokio_postgres::Client;

use super::own;
use crate::error::Result;
use crate::name::{Ident, QualifiedName, sql};

/// The record of a segment.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// Its number; writers use the highest one.
    pub number: i32,
    /// Whether the sessions that may still write to it are recorded.
    pub is_sealed: bool,
    /// Its size.
    pub bytes: i64,
    /// Whether one of those is still active.
    pub is_written: bool,
}

/// The segments of a store, the current one last.
pub async fn list(client: &Client, table_change: i64, store: &Ident, captured: u32) -> Result<Vec<Segment>> {
    let statement = sql!("state/list_segments.sql").text();
    let rows = client.query(&statement, &[&table_change, &store.as_str(), &captured]).await?;
    rows.iter()
        .map(|row| {
            Ok(Segment {
                number: row.try_get("number")?,
                is_sealed: row.try_get("is_sealed")?,
                bytes: row.try_get("bytes")?,
                is_written: row.try_get("is_written")?,
            })
        })
        .collect()
}

/// All segments of a table change: their stores and numbers.
pub async fn list_all(client: &Client, table_change: i64) -> Result<Vec<(QualifiedName, i32)>> {
    let rows = client.query(&sql!("state/list_all_segments.sql").text(), &[&table_change]).await?;
    rows.iter().map(|row| Ok((own(row.try_get("store")?), row.try_get("number")?))).collect()
}

/// The number of the current segment.
pub async fn current(client: &Client, table_change: i64, store: &Ident) -> Result<i32> {
    const TEXT: &str = "select max(number) from pgrecast.segment where table_change_id = $1 and store = $2";
    let number: Option<i32> = client.query_one(TEXT, &[&table_change, &store.as_str()]).await?.try_get(0)?;
    Ok(number.unwrap_or(1))
}

/// Records a segment, in the transaction that creates it. `false`: it is recorded already.
pub async fn insert(client: &Client, table_change: i64, store: &Ident, number: i32) -> Result<bool> {
    let statement = sql!("state/insert_segment.sql").text();
    Ok(client.execute(&statement, &[&table_change, &store.as_str(), &number]).await? == 1)
}

/// Records which sessions may still write to the segments before the current one.
pub async fn seal(
    client: &Client,
    table_change: i64,
    store: &Ident,
    current: i32,
    captured: u32,
) -> Result<()> {
    let statement = sql!("state/seal_segments.sql").text();
    client.execute(&statement, &[&table_change, &store.as_str(), &current, &captured]).await?;
    Ok(())
}

/// Deletes the record of a segment, in the transaction that drops it.
pub async fn remove(client: &Client, table_change: i64, store: &Ident, number: i32) -> Result<()> {
    const TEXT: &str =
        "delete from pgrecast.segment where table_change_id = $1 and store = $2 and number = $3";
    client.execute(TEXT, &[&table_change, &store.as_str(), &number]).await?;
    Ok(())
}

/// Deletes all records of segments, in the transaction that drops the segments.
pub async fn remove_all(client: &Client, table_change: i64) -> Result<()> {
    client.execute("delete from pgrecast.segment where table_change_id = $1", &[&table_change]).await?;
    Ok(())
}
