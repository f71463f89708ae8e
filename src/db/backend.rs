//! Backends of the server, identified by pid and start time together, which are unique. The application name does not
//! identify a backend: any session can set it.
//!
//! Reads `pg_stat_activity` only. A role sees the start time of another role's backends only with the privileges of
//! that role or of `pg_read_all_stats`. So the queries run as the login role, which sees its own backends.

use std::time::SystemTime;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::error::{Error, Result};
use crate::name::sql;

/// A backend, distinguished from every other one that has or had the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// Its process id.
    pub pid: i32,
    /// Its start time.
    pub started: SystemTime,
    /// Oid of the login role.
    pub role: u32,
}

/// A backend that still exists.
#[derive(Debug, Clone)]
pub struct Living {
    /// Its process id.
    pub pid: i32,
    /// Whether its start time is visible. Otherwise only its database, pid and role are known to match.
    pub is_certain: bool,
    application: String,
    role: String,
    client: Option<String>,
}

/// Backends as parameters of a statement: pids, start times, roles.
pub type Columns = (Vec<i32>, Vec<SystemTime>, Vec<u32>);

impl Backend {
    /// The backend of this session.
    pub async fn own(client: &Client) -> Result<Self> {
        let row = query_as_login(client, &sql!("db/identify_backend.sql").text(), &[]).await?.pop();
        let row = row.ok_or_else(|| Error::failed("the server does not show the backend of this session"))?;
        Ok(Backend {
            pid: row.try_get("pid")?,
            started: row.try_get("backend_start")?,
            role: row.try_get("role_oid")?,
        })
    }

    /// The backends that still exist. If this role cannot see a start time, the backend counts as existing, with
    /// `is_certain` false.
    pub async fn living(client: &Client, backends: &[Backend]) -> Result<Vec<Living>> {
        if backends.is_empty() {
            return Ok(Vec::new());
        }
        let (pids, starts, roles) = Self::columns(backends);
        let statement = sql!("db/list_living.sql").text();
        let rows = query_as_login(client, &statement, &[&pids, &starts, &roles]).await?;
        rows.iter().map(Living::from_row).collect()
    }

    /// The backends as parameters of a statement.
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

    /// A description for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        let from = self.client.as_ref().map(|client| format!(" from {client}")).unwrap_or_default();
        format!("pid {} \"{}\" of role {}{from}", self.pid, self.application, self.role)
    }
}

/// Runs a query as the login role, in a transaction that is rolled back. The login role can see and terminate its own
/// sessions; the role that owns the table may not be allowed to.
pub async fn query_as_login(client: &Client, text: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
    client.batch_execute("begin; set local role none").await?;
    let rows = client.query(text, values).await;
    client.batch_execute("rollback").await?;
    Ok(rows?)
}
