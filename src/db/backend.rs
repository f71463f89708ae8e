//! Backends of the server. One is known by its pid and the time of its start, which no other one shares: never by a name
//! that anybody can take.
//!
//! Reads `pg_stat_activity` only. A role that has neither the rights of another role nor those of `pg_read_all_stats` does
//! not see when that role's backends started; so all of this is asked as the role that logged in, which sees its own.

use std::time::SystemTime;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::error::{Error, Result};
use crate::name::sql;

/// A backend, told apart from every other one that has or had its pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// Its process id.
    pub pid: i32,
    /// When it started.
    pub started: SystemTime,
    /// Oid of the role that logged in.
    pub role: u32,
}

/// A backend that is still there.
#[derive(Debug, Clone)]
pub struct Living {
    /// Its process id.
    pub pid: i32,
    /// Whether its start is seen. If not, all that is known is that a backend of this database has its pid and its role.
    pub is_certain: bool,
    application: String,
    role: String,
    client: Option<String>,
}

/// Backends as the statements take them: pids, starts, roles.
pub type Columns = (Vec<i32>, Vec<SystemTime>, Vec<u32>);

impl Backend {
    /// That of this session.
    pub async fn own(client: &Client) -> Result<Self> {
        let row = query_as_login(client, &sql!("db/identify_backend.sql").text(), &[]).await?.pop();
        let row = row.ok_or_else(|| Error::failed("the server does not show the backend of this session"))?;
        Ok(Backend {
            pid: row.try_get("pid")?,
            started: row.try_get("backend_start")?,
            role: row.try_get("role_oid")?,
        })
    }

    /// Those of them that still live. One whose start this role may not see counts as living: `is_certain` is false.
    pub async fn living(client: &Client, backends: &[Backend]) -> Result<Vec<Living>> {
        if backends.is_empty() {
            return Ok(Vec::new());
        }
        let (pids, starts, roles) = Self::columns(backends);
        let statement = sql!("db/list_living.sql").text();
        let rows = query_as_login(client, &statement, &[&pids, &starts, &roles]).await?;
        rows.iter().map(Living::from_row).collect()
    }

    /// As statements take them.
    #[must_use]
    pub fn columns(backends: &[Backend]) -> Columns {
        (
            backends.iter().map(|backend| backend.pid).collect(),
            backends.iter().map(|backend| backend.started).collect(),
            backends.iter().map(|backend| backend.role).collect(),
        )
    }
}

impl Living {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Living {
            pid: row.try_get("pid")?,
            is_certain: row.try_get("is_certain")?,
            application: row.try_get("application")?,
            role: row.try_get("role_name")?,
            client: row.try_get("client")?,
        })
    }

    /// In words.
    #[must_use]
    pub fn shown(&self) -> String {
        let from = self.client.as_ref().map(|client| format!(" from {client}")).unwrap_or_default();
        format!("pid {} \"{}\" of role {}{from}", self.pid, self.application, self.role)
    }
}

/// Asks as the role that logged in, in a transaction of its own that is rolled back: it sees its own sessions, and may end
/// them, where the role that owns the table may not.
pub async fn query_as_login(client: &Client, text: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
    client.batch_execute("begin; set local role none").await?;
    let rows = client.query(text, values).await;
    client.batch_execute("rollback").await?;
    Ok(rows?)
}
