//! The leader of a migration is the session that the migration's row names. It is changed by compare-and-set: if
//! several sessions find that the leader no longer exists, only one of them succeeds it. This requires write access to
//! the state. No lock is held while a session leads.

use tokio_postgres::Client;
use uuid::Uuid;

use super::session;
use crate::db::Backend;
use crate::error::Result;
use crate::name::sql;

/// The leader of a migration.
#[derive(Debug, Clone)]
pub struct Leader {
    /// The migration.
    pub migration: Uuid,
    /// Its session in the state; none if the lease was released.
    pub session: Option<i64>,
    /// The backend of that session, which may no longer exist.
    pub backend: Option<Backend>,
}

impl Leader {
    /// The leaders of a migration and of all other migrations of the same tables.
    pub async fn list(client: &Client, migration: Uuid) -> Result<Vec<Self>> {
        let rows = client.query(&sql!("state/list_leaders.sql").text(), &[&migration]).await?;
        rows.iter()
            .map(|row| {
                Ok(Leader {
                    migration: row.try_get("migration_id")?,
                    session: row.try_get("leader")?,
                    backend: session::backend(row, ["pid", "backend_start", "role_oid"])?,
                })
            })
            .collect()
    }
}

/// Makes this session the leader if no leader has changed since `seen` was read. `None`: another session was faster.
pub async fn take(
    client: &Client,
    migration: Uuid,
    own: &Backend,
    seen: &[Leader],
    purpose: &str,
) -> Result<Option<i64>> {
    const SET: &str = "update pgrecast.migration set leader = $2 where id = $1";
    client.batch_execute("begin").await?;
    let rows = client.query(&sql!("state/lock_leaders.sql").text(), &[&migration]).await?;
    let mut is_as_seen = rows.len() == seen.len();
    for (row, leader) in rows.iter().zip(seen) {
        is_as_seen &= row.try_get::<_, Uuid>("migration_id")? == leader.migration
            && row.try_get::<_, Option<i64>>("leader")? == leader.session;
    }
    if !is_as_seen {
        client.batch_execute("rollback").await?;
        return Ok(None);
    }
    let session = session::record(client, migration, own, purpose).await?;
    client.execute(SET, &[&migration, &session]).await?;
    client.batch_execute("commit").await?;
    Ok(Some(session))
}

/// Leaves the migration without a leader, if this session still leads it.
pub async fn give_back(client: &Client, migration: Uuid, session: i64) -> Result<()> {
    const TEXT: &str = "update pgrecast.migration set leader = null where id = $1 and leader = $2";
    client.execute(TEXT, &[&migration, &session]).await?;
    Ok(())
}
