//! The sessions that runs have opened, each recorded by itself under its migration. A session is ours because it is
//! recorded, whatever its name.

use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::Phase;
use crate::db::Backend;
use crate::error::Result;
use crate::name::sql;

/// Records a session, in the transaction that is open on `client` or on its own; says its id in the state.
pub async fn record(client: &Client, migration: Uuid, backend: &Backend, purpose: &str) -> Result<i64> {
    let statement = sql!("state/insert_session.sql").text();
    let Backend { pid, started, role } = backend;
    Ok(client.query_one(&statement, &[&migration, pid, started, role, &purpose]).await?.try_get("id")?)
}

/// The sessions recorded of a migration, or of all of them; most may be gone.
pub async fn list(client: &Client, migration: Option<Uuid>) -> Result<Vec<Backend>> {
    let rows = client.query(&sql!("state/list_sessions.sql").text(), &[&migration]).await?;
    let backends: Result<Vec<_>> =
        rows.iter().map(|row| backend(row, ["pid", "backend_start", "role_oid"])).collect();
    Ok(backends?.into_iter().flatten().collect())
}

/// Removes those of a migration but its leader, and what is left of migrations that have ended.
pub async fn forget(client: &Client, migration: Uuid) -> Result<()> {
    let ended: Vec<&str> = Phase::ended().map(Phase::as_str).collect();
    client.execute(&sql!("state/delete_sessions.sql").text(), &[&migration, &ended]).await?;
    Ok(())
}

/// A backend from columns of these names; none where they are null.
pub(super) fn backend(row: &Row, [pid, start, role]: [&str; 3]) -> Result<Option<Backend>> {
    let pid: Option<i32> = row.try_get(pid)?;
    pid.map(|pid| Ok(Backend { pid, started: row.try_get(start)?, role: row.try_get(role)? })).transpose()
}
