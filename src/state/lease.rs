//! Who leads a migration: the session that the migration's row names. Changed by compare-and-set, so that of several that
//! see the same dead leader one succeeds it. To write there takes rights on the state; no lock is held meanwhile.

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
    /// Its session in the state; none when it was given back.
    pub session: Option<i64>,
    /// That session's backend, which may be gone.
    pub backend: Option<Backend>,
}

impl Leader {
    /// The leaders of a migration and of all others of the same tables.
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

/// Makes this session the leader, if all of these still are as they were seen. `None`: somebody was faster.
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

/// Nobody leads the migration any more, if this session still does.
pub async fn give_back(client: &Client, migration: Uuid, session: i64) -> Result<()> {
    const TEXT: &str = "update pgrecast.migration set leader = null where id = $1 and leader = $2";
    client.execute(TEXT, &[&migration, &session]).await?;
    Ok(())
}
