//! The sessions that block a lock: checked before the lock is requested, and reported if it is not granted.
//!
//! Only reads `pg_locks` and `pg_stat_activity`; [`end`] terminates sessions, if the user asked for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Row};

use crate::db::Backend;
use crate::db::backend::query_as_login;
use crate::error::Result;
use crate::name::sql;
use crate::state::session;

/// A transaction that holds a lock that conflicts with ours.
#[derive(Debug, Clone)]
pub struct Holder {
    /// `None`: a prepared transaction.
    pub pid: Option<i32>,
    /// Its virtual transaction id or a substitute: stays the same as long as the transaction lasts.
    pub transaction: String,
    /// Whether it is a plain autovacuum, which is cancelled when another session waits for it.
    pub gives_way: bool,
    /// The age of the transaction; `None` if this role may not see it.
    pub age: Option<Duration>,
    words: String,
    relation: String,
}

impl Holder {
    fn from_row(row: &Row) -> Result<Self> {
        let pid: Option<i32> = row.try_get("pid")?;
        let application: String = row.try_get("application")?;
        let state: Option<String> = row.try_get("state")?;
        let seconds: Option<f64> = row.try_get("transaction_seconds")?;
        let query: Option<f64> = row.try_get("query_seconds")?;
        let is_autovacuum: bool = row.try_get("is_autovacuum")?;
        let prevents_wraparound: bool = row.try_get("prevents_wraparound")?;
        let who = match pid {
            None => String::new(),
            Some(pid) if prevents_wraparound => {
                format!("pid {pid}, an autovacuum to prevent wraparound, which does not give way: ")
            }
            Some(pid) if is_autovacuum => format!("pid {pid}, an autovacuum: "),
            Some(pid) => format!("pid {pid} \"{application}\": "),
        };
        let state = state.unwrap_or_else(|| "state hidden from this role".into());
        let query = query.map(|query| format!(", query {query:.1} s ago")).unwrap_or_default();
        Ok(Holder {
            pid,
            transaction: row.try_get("transaction")?,
            gives_way: is_autovacuum && !prevents_wraparound,
            age: seconds.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))),
            words: format!("{who}{state}{query}"),
            relation: row.try_get("relation")?,
        })
    }

    /// The holder in words, with its age as far as known.
    #[must_use]
    pub fn shown(&self, age: Duration) -> String {
        let about = if self.age.is_none() { "at least " } else { "" };
        format!("{}, transaction {about}{:.1} s old, on {}", self.words, age.as_secs_f64(), self.relation)
    }
}

/// Since when we have seen each transaction: the only known age if this role may not see when it began.
#[derive(Debug, Clone, Default)]
pub struct Sightings(HashMap<String, Instant>);

impl Sightings {
    /// Records the current holders, and forgets the others.
    pub fn see(&mut self, holders: &[Holder]) {
        let now = Instant::now();
        self.0 = holders
            .iter()
            .map(|holder| {
                let since = self.0.get(&holder.transaction).copied().unwrap_or(now);
                (holder.transaction.clone(), since)
            })
            .collect();
    }

    /// The minimum age of a transaction.
    #[must_use]
    pub fn age(&self, holder: &Holder) -> Duration {
        let seen = || self.0.get(&holder.transaction).map_or(Duration::ZERO, Instant::elapsed);
        holder.age.unwrap_or_else(seen)
    }
}

/// Other sessions that hold a lock in one of these modes on one of these relations.
pub async fn list(client: &Client, relations: &[u32], modes: &[&str]) -> Result<Vec<Holder>> {
    let rows = client.query(&sql!("lock/list_holders.sql").text(), &[&relations, &modes]).await?;
    rows.iter().map(Holder::from_row).collect()
}

/// Terminates client sessions that hold such a lock on this table, and returns them in words.
pub async fn end(client: &Client, table: u32, modes: &[&str]) -> Result<Vec<String>> {
    let (pids, starts, roles) = Backend::columns(&session::list(client, None).await?);
    let statement = sql!("lock/end_holders.sql").text();
    // Use the rights of the login role, which need not be the table's owner.
    let rows = query_as_login(client, &statement, &[&table, &modes, &pids, &starts, &roles]).await?;
    rows.iter()
        .map(|row| {
            let (pid, application): (i32, String) = (row.try_get("pid")?, row.try_get("application")?);
            let what =
                if row.try_get("ended")? { "was terminated" } else { "could not be terminated by this role" };
            Ok(format!("pid {pid} \"{application}\" {what}"))
        })
        .collect()
}
