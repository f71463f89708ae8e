//! The sessions that runs have opened. Each records itself with its migration, and is identified by that record and not
//! by its application name.

use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::Phase;
use crate::db::Backend;
use crate::error::Result;
use crate::name::sql;

/// Records a session, in the open transaction of `client` if there is one. Returns its id in the state.
pub async fn record(client: &Client, migration: Uuid, backend: &Backend, purpose: &str) -> Result<i64> {
    let statement = sql!("state/insert_session.sql").text();
    let Backend { pid, started, role } = backend;
    Ok(client.query_one(&statement, &[&migration, pid, started, role, &purpose]).await?.try_get("id")?)
}

/// The recorded sessions of a migration, or of all migrations. Most of them may no longer exist.
pub async fn list(client: &Client, migration: Option<Uuid>) -> Result<Vec<Backend>> {
    let rows = client.query(&sql!("state/list_sessions.sql").text(), &[&migration]).await?;
    let backends: Result<Vec<_>> =
        rows.iter().map(|row| backend(row, ["pid", "backend_start", "role_oid"])).collect();
    Ok(backends?.into_iter().flatten().collect())
}

/// Removes the recorded sessions of a migration except its leader, and those of migrations that have ended.
pub async fn forget(client: &Client, migration: Uuid) -> Result<()> {
    let ended: Vec<&str> = Phase::ended().map(Phase::as_str).collect();
    client.execute(&sql!("state/delete_sessions.sql").text(), &[&migration, &ended]).await?;
    Ok(())
}

/// Reads a backend from the columns with these names; none if they are null.
pub(super) fn backend(row: &Row, [pid, start, role]: [&str; 3]) -> Result<Option<Backend>> {
    let pid: Option<i32> = row.try_get(pid)?;
    pid.map(|pid| Ok(Backend { pid, started: row.try_get(start)?, role: row.try_get(role)? })).transpose()
}
