//! One table of a migration, and the names of everything that belongs to it.

use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{Part, Phase, own};
use crate::catalog::Table;
use crate::change::Record;
use crate::error::Result;
use crate::name::{Ident, QualifiedName, sql};

/// A table of a migration.
#[derive(Debug, Clone)]
pub struct TableChange {
    /// Its id in the state.
    pub id: i64,
    /// The migration.
    pub migration_id: Uuid,
    /// Its position in the migration, from 1.
    pub ordinal: i32,
    /// Its phase. The migration's phase follows when all its tables have reached it.
    pub phase: Phase,
    /// The name by which applications know it, before and after.
    pub name: QualifiedName,
    /// Oid of the original (the retired one after the swap).
    pub original_oid: u32,
    /// Oid of the shadow (the new table after the swap).
    pub shadow_oid: Option<u32>,
    /// The schema that holds the shadow before the swap.
    pub shadow_schema: Ident,
    /// The schema that holds the original after the swap.
    pub retired_schema: Ident,
    /// The requested change.
    pub asked: Record,
    /// Digest of the original's definition when it was planned.
    pub fingerprint: String,
    /// Rows, as estimated when it was planned.
    pub rows_estimated: i64,
    /// The last comparison; none before the first.
    pub verification: Option<Verification>,
    /// The statistics of the last lock request.
    pub lock: LockCost,
    /// Keys replayed.
    pub keys_replayed: i64,
    /// Rounds run.
    pub rounds: i64,
}

/// The values of a new table change.
#[derive(Debug)]
pub struct NewTableChange<'a> {
    /// The migration.
    pub migration: Uuid,
    /// Its position in the migration, from 1.
    pub ordinal: i32,
    /// The current definition of the table.
    pub table: &'a Table,
    /// The requested change.
    pub asked: &'a Record,
    /// Digest of the table's definition.
    pub fingerprint: &'a str,
}

/// The result of a comparison of all rows.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Number of equal rows; none if it failed.
    pub rows: Option<i64>,
    /// Number of rows that differ; none if it did not finish.
    pub differences: Option<i64>,
    /// When it ended.
    pub at: String,
}

/// The statistics of a lock request.
#[derive(Debug, Clone, Default)]
pub struct LockCost {
    /// Number of tries.
    pub attempts: i32,
    /// How long other sessions may have waited behind it in total, in milliseconds.
    pub waited_ms: f64,
    /// How long the lock was held, in milliseconds; none if it was not acquired.
    pub held_ms: Option<f64>,
    /// The sessions that blocked it.
    pub blockers: Vec<String>,
}

impl TableChange {
    /// The tables of a migration.
    pub async fn list(client: &Client, migration: Uuid) -> Result<Vec<Self>> {
        let rows = client.query(&sql!("state/list_table_changes.sql").text(), &[&migration]).await?;
        rows.iter().map(Self::from_row).collect()
    }

    /// Records one, in the open transaction of `client`; returns its id.
    pub async fn insert(client: &Client, new: &NewTableChange<'_>) -> Result<i64> {
        let NewTableChange { migration, ordinal, table, asked, fingerprint } = new;
        let row = client
            .query_one(
                &sql!("state/insert_table_change.sql").text(),
                &[
                    migration,
                    ordinal,
                    &table.name.schema.as_str(),
                    &table.name.name.as_str(),
                    &table.oid,
                    &Self::shadow_schema_of(*migration, *ordinal).as_str(),
                    &Self::retired_schema_of(*migration, *ordinal).as_str(),
                    &asked.statements,
                    &asked.reverse,
                    &asked.filter,
                    &asked.order,
                    &asked.columns,
                    &asked.strategy,
                    fingerprint,
                    &(table.rows_estimated as i64),
                ],
            )
            .await?;
        Ok(row.try_get("id")?)
    }

    fn from_row(row: &Row) -> Result<Self> {
        Ok(TableChange {
            id: row.try_get("id")?,
            migration_id: row.try_get("migration_id")?,
            ordinal: row.try_get("ordinal")?,
            phase: Phase::parse(row.try_get("phase")?)?,
            name: QualifiedName::new(
                row.try_get::<_, String>("schema_name")?,
                row.try_get::<_, String>("table_name")?,
            ),
            original_oid: row.try_get("original_oid")?,
            shadow_oid: row.try_get("shadow_oid")?,
            shadow_schema: Ident::new(row.try_get::<_, String>("shadow_schema")?),
            retired_schema: Ident::new(row.try_get::<_, String>("retired_schema")?),
            asked: Record {
                statements: row.try_get("statements")?,
                reverse: row.try_get("reverse")?,
                filter: row.try_get("filter")?,
                order: row.try_get("order_by")?,
                columns: row.try_get("column_order")?,
                strategy: row.try_get("strategy")?,
            },
            fingerprint: row.try_get("fingerprint")?,
            rows_estimated: row.try_get("rows_estimated")?,
            verification: match row.try_get("verified_at")? {
                None => None,
                Some(at) => Some(Verification {
                    rows: row.try_get("verified_rows")?,
                    differences: row.try_get("verified_differences")?,
                    at,
                }),
            },
            lock: LockCost {
                attempts: row.try_get("lock_attempts")?,
                waited_ms: row.try_get("lock_waited_ms")?,
                held_ms: row.try_get("lock_held_ms")?,
                blockers: row.try_get("lock_blockers")?,
            },
            keys_replayed: row.try_get("keys_replayed")?,
            rounds: row.try_get("rounds")?,
        })
    }

    /// Records the phase of this table, in the transaction that reached it or separately.
    pub async fn reach(&self, client: &Client, phase: Phase) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set phase = $2 where id = $1";
        client.execute(TEXT, &[&self.id, &phase.as_str()]).await?;
        Ok(())
    }

    /// Records the shadow, in the transaction that creates it.
    pub async fn record_shadow(&self, client: &Client, oid: u32) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set shadow_oid = $2 where id = $1";
        client.execute(TEXT, &[&self.id, &oid]).await?;
        Part::insert(client, self.id, 1, (self.original_oid, oid)).await
    }

    /// Records the statistics of a lock request, for `status` in another terminal.
    pub async fn record_attempts(client: &Client, tables: &[i64], cost: &LockCost) -> Result<()> {
        client
            .execute(
                &sql!("state/record_attempts.sql").text(),
                &[&tables, &cost.attempts, &cost.waited_ms, &cost.blockers],
            )
            .await?;
        Ok(())
    }

    /// Records how long a lock on it was held, in milliseconds; the maximum of several.
    pub async fn record_held(&self, client: &Client, held_ms: f64) -> Result<()> {
        const TEXT: &str =
            "update pgrecast.table_change set lock_held_ms = greatest(lock_held_ms, $2) where id = $1";
        client.execute(TEXT, &[&self.id, &held_ms]).await?;
        Ok(())
    }

    /// Records the result of a comparison, also a failed one.
    pub async fn record_verification(
        &self,
        client: &Client,
        rows: Option<i64>,
        differences: Option<i64>,
    ) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set verified_rows = $2, verified_differences = $3,
             verified_at = clock_timestamp() where id = $1";
        client.execute(TEXT, &[&self.id, &rows, &differences]).await?;
        Ok(())
    }

    /// Counts rounds, and the keys that they replayed.
    pub async fn count_rounds(&self, client: &Client, rounds: i64, keys: i64) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set rounds = rounds + $2, keys_replayed = keys_replayed + $3 where id = $1";
        client.execute(TEXT, &[&self.id, &rounds, &keys]).await?;
        Ok(())
    }

    /// The recorded `xmin` of the rows of our capture triggers in `pg_trigger`. Every change of them changes it.
    pub async fn capture_xmins(&self, client: &Client) -> Result<Option<Vec<String>>> {
        const TEXT: &str = "select capture_xmins from pgrecast.table_change where id = $1";
        Ok(client.query_one(TEXT, &[&self.id]).await?.try_get(0)?)
    }

    /// Records them, in the transaction that creates the triggers.
    pub async fn record_capture_xmins(&self, client: &Client, xmins: &[String]) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set capture_xmins = $2 where id = $1";
        client.execute(TEXT, &[&self.id, &xmins]).await?;
        Ok(())
    }

    /// The recorded digest of the new table's definition; none until its indexes are built.
    pub async fn new_fingerprint(&self, client: &Client) -> Result<Option<String>> {
        const TEXT: &str = "select new_fingerprint from pgrecast.table_change where id = $1";
        Ok(client.query_one(TEXT, &[&self.id]).await?.try_get(0)?)
    }

    /// Records it.
    pub async fn record_new_fingerprint(&self, client: &Client, digest: &str) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set new_fingerprint = $2 where id = $1";
        client.execute(TEXT, &[&self.id, &digest]).await?;
        Ok(())
    }

    /// The schema for the shadow of a migration's n-th table.
    #[must_use]
    pub fn shadow_schema_of(migration: Uuid, ordinal: i32) -> Ident {
        Ident::new(format!("pgrecast_{}", suffix(migration, ordinal)))
    }

    /// The schema for its retired table.
    #[must_use]
    pub fn retired_schema_of(migration: Uuid, ordinal: i32) -> Ident {
        Ident::new(format!("pgrecast_{}_retired", suffix(migration, ordinal)))
    }

    /// The shadow's name before the swap.
    #[must_use]
    pub fn shadow(&self) -> QualifiedName {
        self.name.in_schema(&self.shadow_schema)
    }

    /// The original's name after the swap.
    #[must_use]
    pub fn retired(&self) -> QualifiedName {
        self.name.in_schema(&self.retired_schema)
    }

    /// The name of an object of this table change in our schema: `what`, and the suffix.
    #[must_use]
    pub fn own(&self, what: &str) -> QualifiedName {
        own(&format!("{what}_{}", suffix(self.migration_id, self.ordinal)))
    }
}

/// The first 8 hexadecimal digits, and the position of the table if it is not the first.
fn suffix(migration: Uuid, ordinal: i32) -> String {
    let digits = &migration.simple().to_string()[..8];
    if ordinal == 1 { digits.to_owned() } else { format!("{digits}_{ordinal}") }
}
