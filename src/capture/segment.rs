//! Segments of the log and of the key set. A snapshot that is held for hours prevents vacuum from removing dead rows,
//! and every round would read them again. So a store that has grown large gets a new segment, and the old one is
//! dropped as soon as it is empty and no session can write to it any more.
//!
//! The log: CREATE OR REPLACE FUNCTION does not lock the captured table. A statement that began before may still run
//! the old function, and would fail without its segment. Such a statement has held a lock for writing on the table
//! since before the new function was committed. When all sessions that held such a lock have ended their transactions,
//! the segment is closed. The key set: only pgrecast writes to it, and it gets a new segment when it is empty.
//!
//! Run twice: continues with the rest. Killed midway: segments and their records commit together.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::function::row_function;
use crate::error::{Error, Result};
use crate::name::{Fragment, Ident, QualifiedName, sql};
use crate::pair::Pair;
use crate::run::made;
use crate::state::segment::{self as records, Segment};

/// A segment of the log larger than this is sealed.
const LARGE_LOG: i64 = 16 << 20;

/// A segment of the key set larger than this is sealed when it is empty.
const LARGE_SET: i64 = 8 << 20;

/// A store that consists of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The log.
    Log,
    /// The key set.
    Keys,
}

impl Store {
    fn of(self, pair: &Pair) -> &QualifiedName {
        match self {
            Store::Log => &pair.log,
            Store::Keys => &pair.keys,
        }
    }
}

/// The name of a segment of the log or key set with this name.
#[must_use]
pub fn name(store: &QualifiedName, number: i32) -> QualifiedName {
    let name = Ident::new(format!("{}_{number}", store.name.as_str()));
    QualifiedName { schema: store.schema.clone(), name }
}

/// A log or key set of a table change.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// The table change.
    pub table_change: i64,
    /// The kind of store.
    pub store: Store,
    /// Its name.
    pub name: &'a QualifiedName,
}

impl Parent<'_> {
    /// Creates a segment, in the open transaction of `client`. `false`: it exists already.
    pub async fn create_segment(&self, client: &Client, number: i32, persistence: &Fragment) -> Result<bool> {
        if !records::insert(client, self.table_change, &self.name.name, number).await? {
            return Ok(false);
        }
        let segment = name(self.name, number);
        let statement = sql!("capture/create_segment.sql")
            .fill("persistence", persistence)
            .fill("segment", &segment)
            .fill("store", self.name);
        client.batch_execute(&statement.text()).await?;
        if self.store == Store::Keys {
            let index = sql!("capture/index_keys.sql").fill("keys", &segment).fill("name", &segment.name);
            client.batch_execute(&index.text()).await?;
        }
        made::expect_own(client, &segment, persistence.as_str() == "unlogged").await?;
        Ok(true)
    }
}

/// The segment of the key set for new keys.
pub async fn current_keys(client: &Client, pair: &Pair) -> Result<QualifiedName> {
    let number = records::current(client, pair.table_change, &pair.keys.name).await?;
    Ok(name(&pair.keys, number))
}

/// Adds a new segment to a store that has grown, and drops old ones that are not needed any more. Never waits for a
/// lock. Not within a transaction.
pub async fn tend(client: &Client, pair: &Pair) -> Result<()> {
    for store in [Store::Log, Store::Keys] {
        let parent = store.of(pair);
        let segments = records::list(client, pair.table_change, &parent.name, pair.from_oid).await?;
        let Some((current, former)) = segments.split_last() else { continue };
        let number = current.number;
        if is_due(client, store, parent, current).await? {
            switch(client, pair, store, number + 1).await?;
        }
        for segment in former.iter().filter(|segment| segment.is_sealed && !segment.is_written) {
            drop_if_empty(client, pair, parent, segment.number).await?;
        }
        if former.iter().any(|segment| !segment.is_sealed) {
            seal(client, pair, parent, number).await?;
        }
    }
    Ok(())
}

async fn is_due(client: &Client, store: Store, parent: &QualifiedName, current: &Segment) -> Result<bool> {
    match store {
        Store::Log => Ok(current.bytes > LARGE_LOG),
        Store::Keys if current.bytes <= LARGE_SET => Ok(false),
        Store::Keys => is_empty(client, &name(parent, current.number)).await,
    }
}

async fn is_empty(client: &Client, segment: &QualifiedName) -> Result<bool> {
    Ok(client.query_one(&format!("select not exists (select from only {segment})"), &[]).await?.try_get(0)?)
}

async fn switch(client: &Client, pair: &Pair, store: Store, number: i32) -> Result<()> {
    let parent = store.of(pair);
    let unlogged: bool = client
        .query_one(
            "select relpersistence = 'u' from pg_catalog.pg_class where oid = $1::text::regclass",
            &[&parent.to_string()],
        )
        .await?
        .try_get(0)?;
    let persistence = Fragment::trusted(if unlogged { "unlogged" } else { "" });
    client.batch_execute("begin").await?;
    let of = Parent { table_change: pair.table_change, store, name: parent };
    let switched = async {
        if of.create_segment(client, number, &persistence).await? && store == Store::Log {
            let segment = name(parent, number);
            client.batch_execute(&row_function(&pair.capture, &segment, &pair.from_key())).await?;
        }
        Ok::<(), Error>(())
    };
    if let Err(error) = switched.await {
        client.batch_execute("rollback").await?;
        return Err(made::begun(error));
    }
    client.batch_execute("commit").await?;
    tracing::debug!(store = %parent.shown(), number, "new segment");
    seal(client, pair, parent, number).await
}

async fn seal(client: &Client, pair: &Pair, parent: &QualifiedName, current: i32) -> Result<()> {
    records::seal(client, pair.table_change, &parent.name, current, pair.from_oid).await
}

/// Drops a segment that nobody writes to any more. It stays for now if a session reads it (a verification, a dump of
/// the database), or if it has an entry that is not replayed yet, seen by a snapshot younger than the lock.
async fn drop_if_empty(client: &Client, pair: &Pair, parent: &QualifiedName, number: i32) -> Result<()> {
    let segment = name(parent, number);
    client.batch_execute("begin isolation level read committed").await?;
    let done = async {
        client.batch_execute(&format!("lock table only {segment} in access exclusive mode nowait")).await?;
        if !is_empty(client, &segment).await? {
            return Ok(false);
        }
        records::remove(client, pair.table_change, &parent.name, number).await?;
        client.batch_execute(&format!("drop table {segment}")).await?;
        Ok::<bool, Error>(true)
    };
    match done.await {
        Ok(true) => Ok(client.batch_execute("commit").await?),
        Ok(false) => Ok(client.batch_execute("rollback").await?),
        Err(error) => {
            client.batch_execute("rollback").await?;
            if error.is_sqlstate(&SqlState::LOCK_NOT_AVAILABLE) { Ok(()) } else { Err(error) }
        }
    }
}
