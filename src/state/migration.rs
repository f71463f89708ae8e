//! One migration's row.

use std::time::Duration;

use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{LockCost, Phase, TableChange, is_installed, record, session};
use crate::db::Backend;
use crate::error::{Error, Kind, Result};
use crate::name::{Ident, sql};
use crate::plan::Side;

/// A migration with its tables.
#[derive(Debug, Clone)]
pub struct Migration {
    /// Its id.
    pub id: Uuid,
    /// Its phase.
    pub phase: Phase,
    /// When it was begun.
    pub begun_at: String,
    /// Whether it runs in steps on the table itself.
    pub needs_no_copy: bool,
    /// The role that owns its tables; every session works as this role.
    pub owner: Ident,
    /// Settings under which casts were planned, as name and value.
    pub settings: Vec<(String, String)>,
    /// The backend that leads it, or led it and has ended.
    pub leader: Option<Backend>,
    /// The swap's transaction id.
    pub swap_xid: Option<String>,
    /// When the swap happened.
    pub swapped_at: Option<String>,
    /// How long ago that was.
    pub swapped_ago: Option<Duration>,
    /// Older transactions that the run waits for, if any.
    pub waiting_for: Option<String>,
    /// The last failure, if the last run failed.
    pub error: Option<Error>,
    /// Since when runs have failed with it.
    pub error_since: Option<String>,
    /// Its tables, in order.
    pub tables: Vec<TableChange>,
}

/// The values of a new migration.
#[derive(Debug, Clone)]
pub struct NewMigration {
    /// Its id.
    pub id: Uuid,
    /// The role that owns the table.
    pub owner: Ident,
    /// The settings of its sessions.
    pub settings: Vec<(String, String)>,
}

/// How long it took to reach a phase from the one before.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PhaseTime {
    /// The phase reached.
    pub phase: String,
    /// Seconds since the phase before.
    pub seconds: f64,
}

impl Migration {
    /// All migrations, the newest first. None if the state does not exist.
    pub async fn list(client: &Client) -> Result<Vec<Self>> {
        Self::read(client, None, &[]).await
    }

    /// The open migrations.
    pub async fn list_open(client: &Client) -> Result<Vec<Self>> {
        let ended: Vec<&str> = Phase::ended().map(Phase::as_str).collect();
        Self::read(client, None, &ended).await
    }

    /// The migration with this id.
    pub async fn load(client: &Client, id: Uuid) -> Result<Self> {
        Self::read(client, Some(id), &[])
            .await?
            .pop()
            .ok_or_else(|| Error::failed(format!("migration {id} is not in the state any more")))
    }

    async fn read(client: &Client, id: Option<Uuid>, without: &[&str]) -> Result<Vec<Self>> {
        if !is_installed(client).await? {
            return Ok(Vec::new());
        }
        let rows = client.query(&sql!("state/list_migrations.sql").text(), &[&id, &without]).await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let mut migration = Self::from_row(&row)?;
            migration.tables = TableChange::list(client, migration.id).await?;
            all.push(migration);
        }
        Ok(all)
    }

    fn from_row(row: &Row) -> Result<Self> {
        let settings: Vec<String> = row.try_get("settings")?;
        let error = row.try_get::<_, Option<String>>("error_message")?.map(|message| {
            let mut error = Error::failed(message);
            error.sqlstate = row.get("error_sqlstate");
            error.state = row.get("error_state");
            error.hint = row.get("error_hint");
            error
        });
        Ok(Migration {
            id: row.try_get("id")?,
            phase: Phase::parse(row.try_get("phase")?)?,
            begun_at: row.try_get("begun_at")?,
            needs_no_copy: row.try_get("needs_no_copy")?,
            owner: Ident::new(row.try_get::<_, String>("owner_role")?),
            settings: settings.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect(),
            leader: session::backend(row, ["leader_pid", "leader_start", "leader_role"])?,
            swap_xid: row.try_get("swap_xid")?,
            swapped_at: row.try_get("swapped_at")?,
            swapped_ago: row
                .try_get::<_, Option<f64>>("swapped_seconds_ago")?
                .map(|seconds| Duration::from_secs_f64(seconds.max(0.0))),
            waiting_for: row.try_get("waiting_for")?,
            error,
            error_since: row.try_get("error_since")?,
            tables: Vec::new(),
        })
    }

    /// The first hexadecimal digits of the id, enough to type it.
    #[must_use]
    pub fn short_id(&self) -> String {
        self.id.simple().to_string()[..8].to_owned()
    }

    /// The table as the user writes it; several with commas.
    #[must_use]
    pub fn shown(&self) -> String {
        self.tables.iter().map(|table| table.name.shown()).collect::<Vec<_>>().join(", ")
    }

    /// Changes the phase, in the open transaction of `client` or separately. All its tables have reached it then.
    ///
    /// # Errors
    /// An illegal change; or the recorded phase is another one, because another session has changed it.
    pub async fn advance(&mut self, client: &Client, to: Phase) -> Result<()> {
        let to = self.phase.advance(to)?;
        let changed = client
            .execute(&sql!("state/advance_phase.sql").text(), &[&self.id, &self.phase.as_str(), &to.as_str()])
            .await?;
        if changed == 0 {
            return Err(Error::failed(format!(
                "migration {} is no longer {}: another session has changed it",
                self.short_id(),
                self.phase
            ))
            .hint("Check `pgrecast status`, then run the command again."));
        }
        record(client, self.id, "phase", to.as_str()).await?;
        tracing::info!(migration = %self.short_id(), from = %self.phase, to = %to, "phase changed");
        self.phase = to;
        for table in &mut self.tables {
            table.phase = to;
        }
        Ok(())
    }

    /// Records the swap, in its transaction.
    pub async fn record_swap(&self, client: &Client, xid: &str, cost: &LockCost) -> Result<()> {
        client
            .execute(
                &sql!("state/record_swap.sql").text(),
                &[&self.id, &xid, &cost.attempts, &cost.waited_ms, &cost.blockers, &cost.held_ms],
            )
            .await?;
        Ok(())
    }

    /// Corrects how long its locks were held, after the commit.
    pub async fn record_held(&self, client: &Client, held_ms: f64) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set lock_held_ms = $2 where migration_id = $1";
        client.execute(TEXT, &[&self.id, &held_ms]).await?;
        Ok(())
    }

    /// Records the older transactions that a run of this migration waits for, for `status` in another terminal.
    pub async fn record_waiting(client: &Client, id: Uuid, who: Option<&str>) -> Result<()> {
        client.execute("update pgrecast.migration set waiting_for = $2 where id = $1", &[&id, &who]).await?;
        Ok(())
    }

    /// Clears the recorded error.
    pub async fn clear_error(client: &Client, id: Uuid) -> Result<()> {
        client.execute(&sql!("state/clear_error.sql").text(), &[&id]).await?;
        Ok(())
    }

    /// Foreign keys of the table in place that are not validated yet, by table and name.
    pub async fn not_validated(&self, client: &Client) -> Result<Vec<String>> {
        let side = match self.phase {
            phase if phase.is_swapped() => Side::New,
            Phase::RolledBack => Side::Original,
            _ => return Ok(Vec::new()),
        };
        let statement = sql!("state/list_not_validated.sql").text();
        let rows = client.query(&statement, &[&self.id, &side.as_str()]).await?;
        rows.iter().map(|row| Ok(row.try_get("shown")?)).collect()
    }

    /// Records why the run failed, for `status`.
    pub async fn record_error(&self, client: &Client, error: &Error) -> Result<()> {
        if error.kind == Kind::Stopped {
            return record(client, self.id, "stopped", &error.message).await;
        }
        let message = error.summary();
        client
            .execute(
                &sql!("state/record_error.sql").text(),
                &[&self.id, &error.sqlstate, &message, &error.state, &error.hint],
            )
            .await?;
        record(client, self.id, "error", &message).await
    }

    /// How long each phase took.
    pub async fn phase_times(&self, client: &Client) -> Result<Vec<PhaseTime>> {
        let rows = client.query(&sql!("state/list_phase_times.sql").text(), &[&self.id]).await?;
        rows.iter()
            .map(|row| Ok(PhaseTime { phase: row.try_get("phase")?, seconds: row.try_get("seconds")? }))
            .collect()
    }
}

impl NewMigration {
    /// Records the migration, in the open transaction of `client`.
    pub async fn insert(&self, client: &Client) -> Result<()> {
        let settings: Vec<&str> =
            self.settings.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
        client
            .execute(&sql!("state/insert_migration.sql").text(), &[&self.id, &self.owner.as_str(), &settings])
            .await?;
        record(client, self.id, "phase", Phase::Planned.as_str()).await
    }
}
