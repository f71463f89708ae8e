//! One table of a migration, and the names of everything that belongs to it.

use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::catalog::Table;
use crate::error::Result;
use crate::name::{Ident, QualifiedName, sql};

/// What was asked for, as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The actions of one ALTER TABLE or a whole statement each.
    pub statements: Vec<String>,
    /// `--reverse`.
    pub reverse: Vec<String>,
    /// `--where`.
    pub filter: Option<String>,
    /// `--order-by`: an index or columns; nothing where any order will do.
    pub order: Vec<Ident>,
    /// `--columns`: those that come first; none where each stays in its place.
    pub columns: Vec<Ident>,
}

impl Asked {
    /// In one line.
    #[must_use]
    pub fn shown(&self) -> String {
        let what = if self.statements.is_empty() { "--rebuild".into() } else { self.statements.join("; ") };
        let filter = self.filter.as_ref().map(|filter| format!(" --where {filter}"));
        let list = |option: &str, names: &[Ident]| {
            let names: Vec<String> = names.iter().map(Ident::shown).collect();
            if names.is_empty() { String::new() } else { format!(" {option} {}", names.join(", ")) }
        };
        what + &filter.unwrap_or_default()
            + &list("--order-by", &self.order)
            + &list("--columns", &self.columns)
    }
}

/// A table that is being changed.
#[derive(Debug, Clone)]
pub struct TableChange {
    /// Its id in the state.
    pub id: i64,
    /// The migration.
    pub migration_id: Uuid,
    /// Its place in the migration, from 1.
    pub ordinal: i32,
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
    pub asked: Asked,
    /// Digest of the original's definition when it was planned.
    pub fingerprint: String,
    /// Rows, as estimated when it was planned.
    pub rows_estimated: i64,
    /// The file that is being copied.
    pub filenode: Option<u32>,
    /// Its blocks, as read after capture began.
    pub blocks: Option<i64>,
    /// The first block that no chunk has claimed.
    pub next_block: i64,
    /// `xmin` of the rows in `pg_trigger` that are our capture: a change to them changes it.
    pub capture_xmins: Option<Vec<String>>,
}

impl TableChange {
    /// The tables of a migration.
    pub async fn list(client: &Client, migration: Uuid) -> Result<Vec<Self>> {
        let rows = client.query(&sql!("state/list_table_changes.sql").text(), &[&migration]).await?;
        rows.iter().map(Self::from_row).collect()
    }

    /// Writes one down, in the transaction that is open on `client`; returns its id.
    pub async fn insert(
        client: &Client,
        migration: Uuid,
        ordinal: i32,
        table: &Table,
        asked: &Asked,
        fingerprint: &str,
    ) -> Result<i64> {
        let row = client
            .query_one(
                &sql!("state/insert_table_change.sql").text(),
                &[
                    &migration,
                    &ordinal,
                    &table.name.schema.as_str(),
                    &table.name.name.as_str(),
                    &table.oid,
                    &Self::shadow_schema_of(migration, ordinal).as_str(),
                    &Self::retired_schema_of(migration, ordinal).as_str(),
                    &asked.statements,
                    &asked.reverse,
                    &asked.filter,
                    &texts(&asked.order),
                    &texts(&asked.columns),
                    &fingerprint,
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
            name: QualifiedName::new(
                row.try_get::<_, String>("schema_name")?,
                row.try_get::<_, String>("table_name")?,
            ),
            original_oid: row.try_get("original_oid")?,
            shadow_oid: row.try_get("shadow_oid")?,
            shadow_schema: Ident::new(row.try_get::<_, String>("shadow_schema")?),
            retired_schema: Ident::new(row.try_get::<_, String>("retired_schema")?),
            asked: Asked {
                statements: row.try_get("statements")?,
                reverse: row.try_get("reverse")?,
                filter: row.try_get("filter")?,
                order: names(row, "order_by")?,
                columns: names(row, "column_order")?,
            },
            fingerprint: row.try_get("fingerprint")?,
            rows_estimated: row.try_get("rows_estimated")?,
            filenode: row.try_get("filenode")?,
            blocks: row.try_get("blocks")?,
            next_block: row.try_get("next_block")?,
            capture_xmins: row.try_get("capture_xmins")?,
        })
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

    /// Something of ours in schema `pgrecast`: `what` of this table change.
    #[must_use]
    pub fn own(&self, what: &str) -> QualifiedName {
        QualifiedName::new("pgrecast", format!("{what}_{}", suffix(self.migration_id, self.ordinal)))
    }
}

/// The first 8 hexadecimal digits, and the place of the table when it is not the first.
fn suffix(migration: Uuid, ordinal: i32) -> String {
    let digits = &migration.simple().to_string()[..8];
    if ordinal == 1 { digits.to_owned() } else { format!("{digits}_{ordinal}") }
}

fn texts(names: &[Ident]) -> Vec<&str> {
    names.iter().map(Ident::as_str).collect()
}

fn names(row: &Row, column: &str) -> Result<Vec<Ident>> {
    Ok(row.try_get::<_, Vec<String>>(column)?.into_iter().map(Ident::new).collect())
}
