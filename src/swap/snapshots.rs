//! Transactions whose snapshot is older than what was brought over. After the swap such a one would find
//! the new table as it was at its own beginning: empty, or long behind.
//!
//! Reads only, but for an empty scratch table of ours. Run twice: looks again.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::db::Backend;
use crate::error::{Error, Kind, Result};
use crate::name::sql;
use crate::run::Run;
use crate::run::events::Note;
use crate::state::{Migration, TableChange, session};

/// How long the server may take to tell that there is no older snapshot.
const PROBE: &str = "2s";

/// How long to wait between two looks, at most. The first ones come sooner: most transactions are short.
const LOOK: Duration = Duration::from_secs(1);

/// The first wait.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// A point that a snapshot can be older than.
#[derive(Debug, Clone)]
pub struct Point {
    /// The next transaction then.
    pub xid: String,
    /// The server's time then.
    pub at: String,
}

impl Point {
    /// Now: a snapshot that is not older sees all that was committed until now.
    pub async fn now(client: &Client) -> Result<Self> {
        let row = client
            .query_one(
                "select pg_catalog.pg_current_xact_id()::text as xid, pg_catalog.clock_timestamp()::text as at",
                &[],
            )
            .await?;
        Ok(Point { xid: row.try_get("xid")?, at: row.try_get("at")? })
    }

    /// The end of a swap, of which the transaction and the time of its last statement but a few are known: a margin
    /// makes up for these.
    pub async fn after_swap(client: &Client, xid: String, at: &str) -> Result<Self> {
        const LATER: &str = "select ($1::text::timestamptz + interval '10 seconds')::text";
        Ok(Point { xid, at: client.query_one(LATER, &[&at]).await?.try_get(0)? })
    }
}

/// Those that may have a snapshot older than a point, in words.
pub async fn older(client: &Client, change: &TableChange, point: &Point) -> Result<Vec<String>> {
    let living = Backend::living(client, &session::list(client, None).await?).await?;
    // One that is only likely to be ours is waited for.
    let ours: Vec<i32> = living.iter().filter(|one| one.is_certain).map(|one| one.pid).collect();
    let rows = client.query(&sql!("swap/list_older.sql").text(), &[&point.xid, &point.at, &ours]).await?;
    let mut found = Vec::new();
    let mut hidden = Vec::new();
    for row in rows {
        let (pid, application): (i32, String) = (row.try_get("pid")?, row.try_get("application")?);
        let (role, state): (String, String) = (row.try_get("role_name")?, row.try_get("state")?);
        let seconds: f64 = row.try_get("transaction_seconds")?;
        if row.try_get("is_hidden")? {
            hidden.push(format!("pid {pid} \"{application}\" of role {role}"));
        } else {
            found.push(format!(
                "pid {pid} \"{application}\" of role {role} ({state}, transaction {seconds:.0} s old)"
            ));
        }
    }
    if found.is_empty() && !hidden.is_empty() && !is_free_of_older(client, change).await? {
        found.push(format!("one of those that this role may not look into: {}", hidden.join(", ")));
    }
    Ok(found)
}

/// Whether every snapshot in this database is younger than now: CREATE INDEX CONCURRENTLY waits for just
/// those that are not, whoever has them, so one on a scratch table of ours tells.
async fn is_free_of_older(client: &Client, change: &TableChange) -> Result<bool> {
    let scratch = change.own("scratch");
    client.batch_execute(&format!("drop table if exists {scratch}; create table {scratch} (a int)")).await?;
    client.batch_execute(&format!("set lock_timeout = '{PROBE}'")).await?;
    let built = client.batch_execute(&format!("create index concurrently on {scratch} (a)")).await;
    client.batch_execute(&format!("set lock_timeout = '10s'; drop table {scratch}")).await?;
    match built.map_err(Error::from) {
        Ok(()) => Ok(true),
        Err(error) if error.kind == Kind::Transient => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until no snapshot older than the point is left, and says for whom. `meanwhile` is done between
/// two looks. `false`: some were left when the time was over; they are in the second value.
pub async fn wait(
    run: &Run,
    change: &TableChange,
    point: &Point,
    limit: Duration,
    mut meanwhile: impl AsyncFnMut() -> Result<()>,
) -> Result<(bool, Vec<String>)> {
    let client = &run.control;
    let began = Instant::now();
    let (mut said, mut look) = (Vec::new(), FIRST_LOOK);
    loop {
        let found = older(client, change, point).await?;
        if found != said {
            say(client, change, &found).await?;
        }
        if found.is_empty() {
            return Ok((true, found));
        }
        if began.elapsed() >= limit {
            say(client, change, &[]).await?;
            return Ok((false, found));
        }
        let is_long = look >= LOOK;
        look = (look * 2).min(LOOK);
        if look >= LOOK && !is_long {
            run.events.noted(Note::OlderTransactions(found.clone()));
        }
        said = found;
        meanwhile().await?;
        tokio::time::sleep(look.min(limit.saturating_sub(began.elapsed()))).await;
    }
}

/// Writes down for whom it waits, for `status` in another terminal.
async fn say(client: &Client, change: &TableChange, found: &[String]) -> Result<()> {
    let who = (!found.is_empty()).then(|| found.join("; "));
    Migration::record_waiting(client, change.migration_id, who.as_deref()).await
}
