//! One table of a migration, and the names of everything that belongs to it.

use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{Part, Phase, own};
use crate::catalog::Table;
use crate::change::Record;
use crate::error::Result;
use crate::name::{Ident, QualifiedName, sql};

/// A table that is being changed.
#[derive(Debug, Clone)]
pub struct TableChange {
    /// Its id in the state.
    pub id: i64,
    /// The migration.
    pub migration_id: Uuid,
    /// Its place in the migration, from 1.
    pub ordinal: i32,
    /// Where it is; the migration's phase follows when all its tables are there.
    pub phase: Phase,
    /// The name by which applications know it, before and after.
    pub name: QualifiedName,
    /// Oid of the original (the retired one after the swap).
    pub original_oid: u32,
    /// Oid of the shadow (the new table after the swap).
    pub shadow_oid: Option<u32>,
    /// The schema that holds the shadow before the swap.
    pub shadow_schema: Ident,
    /// The schema that holds the original after it.
    pub retired_schema: Ident,
    /// What was asked for.
    pub asked: Record,
    /// Digest of the original's definition when it was planned.
    pub fingerprint: String,
    /// Rows, as estimated when it was planned.
    pub rows_estimated: i64,
    /// The last comparison; none before the first.
    pub verification: Option<Verification>,
    /// What the last request for a lock cost.
    pub lock: LockCost,
    /// Keys brought over by replay.
    pub keys_replayed: i64,
    /// Rounds run.
    pub rounds: i64,
}

/// What a new one is made from.
#[derive(Debug)]
pub struct NewTableChange<'a> {
    /// The migration.
    pub migration: Uuid,
    /// Its place in the migration, from 1.
    pub ordinal: i32,
    /// The table as it is.
    pub table: &'a Table,
    /// What was asked for.
    pub asked: &'a Record,
    /// Digest of the table's definition.
    pub fingerprint: &'a str,
}

/// What came of a comparison of all rows.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Rows that were equal; none when it failed.
    pub rows: Option<i64>,
    /// Rows that differ; none when it did not come to an end.
    pub differences: Option<i64>,
    /// When it ended.
    pub at: String,
}

/// What a request for a lock cost.
#[derive(Debug, Clone, Default)]
pub struct LockCost {
    /// How often it was made.
    pub attempts: i32,
    /// How long others may have queued behind it in all, in milliseconds.
    pub waited_ms: f64,
    /// How long the lock was held, in milliseconds; none when it was not.
    pub held_ms: Option<f64>,
    /// Who was in the way.
    pub blockers: Vec<String>,
}

impl TableChange {
    /// The tables of a migration.
    pub async fn list(client: &Client, migration: Uuid) -> Result<Vec<Self>> {
        let rows = client.query(&sql!("state/list_table_changes.sql").text(), &[&migration]).await?;
        rows.iter().map(Self::from_row).collect()
    }

    /// Writes one down, in the transaction that is open on `client`; returns its id.
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

    /// Says where this table is, in the transaction that brought it there or on its own.
    pub async fn reach(&self, client: &Client, phase: Phase) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set phase = $2 where id = $1";
        client.execute(TEXT, &[&self.id, &phase.as_str()]).await?;
        Ok(())
    }

    /// Notes the shadow, in the transaction that makes it.
    pub async fn record_shadow(&self, client: &Client, oid: u32) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set shadow_oid = $2 where id = $1";
        client.execute(TEXT, &[&self.id, &oid]).await?;
        Part::insert(client, self.id, 1, (self.original_oid, oid)).await
    }

    /// Notes how a request for its lock stands, for `status` in another terminal.
    pub async fn record_attempts(client: &Client, tables: &[i64], cost: &LockCost) -> Result<()> {
        client
            .execute(
                &sql!("state/record_attempts.sql").text(),
                &[&tables, &cost.attempts, &cost.waited_ms, &cost.blockers],
            )
            .await?;
        Ok(())
    }

    /// Notes for how long a lock on it was held, in milliseconds; of several the longest counts.
    pub async fn record_held(&self, client: &Client, held_ms: f64) -> Result<()> {
        const TEXT: &str =
            "update pgrecast.table_change set lock_held_ms = greatest(lock_held_ms, $2) where id = $1";
        client.execute(TEXT, &[&self.id, &held_ms]).await?;
        Ok(())
    }

    /// Notes what a comparison came to, also a bad one.
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

    /// Counts rounds, and the keys that they brought over.
    pub async fn count_rounds(&self, client: &Client, rounds: i64, keys: i64) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set rounds = rounds + $2, keys_replayed = keys_replayed + $3 where id = $1";
        client.execute(TEXT, &[&self.id, &rounds, &keys]).await?;
        Ok(())
    }

    /// `xmin` of the rows in `pg_trigger` that are our capture, as noted: a change to them changes it.
    pub async fn capture_xmins(&self, client: &Client) -> Result<Option<Vec<String>>> {
        const TEXT: &str = "select capture_xmins from pgrecast.table_change where id = $1";
        Ok(client.query_one(TEXT, &[&self.id]).await?.try_get(0)?)
    }

    /// Notes them, in the transaction that makes the triggers.
    pub async fn record_capture_xmins(&self, client: &Client, xmins: &[String]) -> Result<()> {
        const TEXT: &str = "update pgrecast.table_change set capture_xmins = $2 where id = $1";
        client.execute(TEXT, &[&self.id, &xmins]).await?;
        Ok(())
    }

    /// Digest of the new table's definition, as noted; none until its indexes are built.
    pub async fn new_fingerprint(&self, client: &Client) -> Result<Option<String>> {
        const TEXT: &str = "select new_fingerprint from pgrecast.table_change where id = $1";
        Ok(client.query_one(TEXT, &[&self.id]).await?.try_get(0)?)
    }

    /// Notes it.
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

    /// The shadow, where it stands before the swap.
    #[must_use]
    pub fn shadow(&self) -> QualifiedName {
        self.name.in_schema(&self.shadow_schema)
    }

    /// The original, where it stands after the swap.
    #[must_use]
    pub fn retired(&self) -> QualifiedName {
        self.name.in_schema(&self.retired_schema)
    }

    /// Something of ours beside the state: `what` of this table change.
    #[must_use]
    pub fn own(&self, what: &str) -> QualifiedName {
        own(&format!("{what}_{}", suffix(self.migration_id, self.ordinal)))
    }
}

/// The first 8 hexadecimal digits, and the place of the table when it is not the first.
fn suffix(migration: Uuid, ordinal: i32) -> String {
    let digits = &migration.simple().to_string()[..8];
    if ordinal == 1 { digits.to_owned() } else { format!("{digits}_{ordinal}") }
}
