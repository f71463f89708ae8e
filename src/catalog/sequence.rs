//! Sequences of serial and identity columns.

use tokio_postgres::Client;

use crate::error::Result;
use crate::name::{Ident, QualifiedName, sql};

/// A sequence that belongs to a column.
#[derive(Debug, Clone)]
pub struct OwnedSequence {
    /// Its oid.
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// The attribute number of the column.
    pub column_number: i16,
    /// The column.
    pub column: Ident,
    /// Whether it belongs to an identity column; otherwise OWNED BY (serial).
    pub is_identity: bool,
    /// `smallint`, `integer` or `bigint`.
    pub type_name: String,
    /// How many values a session caches.
    pub cache: i64,
    /// Its comment.
    pub comment: Option<String>,
}

impl OwnedSequence {
    /// The sequences that belong to a table's columns.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        let rows = client.query(&sql!("catalog/list_sequences.sql").text(), &[&table]).await?;
        rows.iter()
            .map(|row| {
                Ok(OwnedSequence {
                    oid: row.try_get("oid")?,
                    name: QualifiedName::new(
                        row.try_get::<_, String>("schema_name")?,
                        row.try_get::<_, String>("name")?,
                    ),
                    column_number: row.try_get("column_number")?,
                    column: Ident::new(row.try_get::<_, String>("column_name")?),
                    is_identity: row.try_get("is_identity")?,
                    type_name: row.try_get("type_name")?,
                    cache: row.try_get("cache")?,
                    comment: row.try_get("comment")?,
                })
            })
            .collect()
    }
}
