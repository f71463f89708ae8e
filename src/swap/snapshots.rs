//! Waits for transactions whose snapshot is older than the replayed changes. After the swap such a transaction would
//! see the new table as of its snapshot: empty, or far behind.
//!
//! Reads only, except for an empty scratch table of ours. Run twice: checks again.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::db::Backend;
use crate::error::{Error, Kind, Result};
use crate::name::sql;
use crate::pair::Pair;
use crate::replay::bring_level;
use crate::run::Run;
use crate::run::events::Note;
use crate::state::{Migration, TableChange, session};

/// How long the probe for older snapshots may wait.
const PROBE: &str = "2s";

/// The maximum pause between two checks. The first pauses are shorter: most transactions are short.
const LOOK: Duration = Duration::from_secs(1);

/// The first wait.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// A point in time, to compare snapshots with.
#[derive(Debug, Clone)]
pub struct Point {
    /// The next transaction id at that time.
    pub xid: String,
    /// The oldest transaction that was running at that time: a snapshot with an older xmin is older.
    pub xmin: Option<String>,
    /// The server's time.
    pub at: String,
}

impl Point {
    /// Now: a snapshot that is not older sees everything committed until now.
    pub async fn now(client: &Client) -> Result<Self> {
        const NOW: &str =
            "select pg_catalog.pg_current_xact_id()::text as xid, pg_catalog.clock_timestamp()::text as at,
             pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text as xmin";
        let row = client.query_one(NOW, &[]).await?;
        Ok(Point { xid: row.try_get("xid")?, xmin: row.try_get("xmin")?, at: row.try_get("at")? })
    }

    /// The end of a swap. Its transaction is known, and the time shortly before its last statements: a margin covers
    /// these.
    pub async fn after_swap(client: &Client, xid: String, at: &str) -> Result<Self> {
        const LATER: &str = "select ($1::text::timestamptz + interval '10 seconds')::text";
        Ok(Point { xid, xmin: None, at: client.query_one(LATER, &[&at]).await?.try_get(0)? })
    }
}

/// Which sessions may read with an older snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Sessions of this server.
    Here,
    /// Sessions of standbys too, if these send `hot_standby_feedback`. They send it every
    /// `wal_receiver_status_interval`, 10 s by default.
    Everywhere,
}

/// The transactions that may have a snapshot older than the point, in words.
pub async fn older(
    client: &Client,
    change: &TableChange,
    point: &Point,
    readers: Readers,
) -> Result<Vec<String>> {
    let everywhere = readers == Readers::Everywhere;
    let living = Backend::living(client, &session::list(client, None).await?).await?;
    // The run also waits for a session that is not certainly ours.
    let ours: Vec<i32> = living.iter().filter(|one| one.is_certain).map(|one| one.pid).collect();
    let statement = sql!("swap/list_older.sql").text();
    let rows = client.query(&statement, &[&point.xid, &point.at, &point.xmin, &everywhere, &ours]).await?;
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
        found.push(format!("one of these, whose details this role may not see: {}", hidden.join(", ")));
    }
    Ok(found)
}

/// Whether every snapshot in this database is younger than now. CREATE INDEX CONCURRENTLY on a scratch table of ours
/// waits for exactly the older ones, also of other roles.
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

/// Waits until no snapshot older than the point is left, and reports for whom it waits. `meanwhile` runs between two
/// checks. `false`: some were left at the time limit; they are in the second value.
pub async fn wait(
    run: &Run,
    change: &TableChange,
    (point, readers): (&Point, Readers),
    limit: Duration,
    mut meanwhile: impl AsyncFnMut() -> Result<()>,
) -> Result<(bool, Vec<String>)> {
    let client = &run.control;
    let began = Instant::now();
    let (mut said, mut look) = (Vec::new(), FIRST_LOOK);
    loop {
        let found = older(client, change, point, readers).await?;
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

/// Records for whom it waits, for `status` in another terminal.
async fn say(client: &Client, change: &TableChange, found: &[String]) -> Result<()> {
    let who = (!found.is_empty()).then(|| found.join("; "));
    Migration::record_waiting(client, change.migration_id, who.as_deref()).await
}

/// What to do about transactions older than the table that is to come into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OldSnapshots {
    /// Wait for them, and give up when they are still there.
    #[default]
    Wait,
    /// Wait for them, then go on: the guard gives 40001 to what they write, and their reads may be stale.
    Guard,
    /// Give up at once.
    Fail,
}

/// That, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotPolicy {
    /// What to do.
    pub old: OldSnapshots,
    /// How long to wait.
    pub timeout: Duration,
}

/// Brings `to` level, and waits for every transaction that would not see it so: it is kept level meanwhile.
///
/// # Errors
/// When one is still open after the time for it, naming those that are.
pub async fn outwait_older(
    run: &Run,
    change: &TableChange,
    pair: &Pair,
    readers: Readers,
    policy: SnapshotPolicy,
) -> Result<()> {
    let again = async || bring_level(run, change, pair).await;
    again().await?;
    let level = Point::now(&run.control).await?;
    let limit = if policy.old == OldSnapshots::Fail { Duration::ZERO } else { policy.timeout };
    let (is_free, left) = wait(run, change, (&level, readers), limit, again).await?;
    if is_free {
        return Ok(());
    }
    if policy.old == OldSnapshots::Guard {
        run.events.noted(Note::OlderIgnored(left));
        return Ok(());
    }
    Err(Error::failed("a transaction that is older than the new table is still open")
        .because(left.join("; "))
        .hint(format!(
            "After the swap it would find rows missing. Wait for it or end it, then run the same command again. \
             --snapshot-timeout sets how long to wait (now {} s); --old-snapshots guard goes on without it.",
            limit.as_secs()
        )))
}
