//! Tables that an extension manages. Their rows are stored elsewhere, and the extension's own catalog lists them.

use tokio_postgres::Client;

use crate::error::Result;
use crate::name::{QualifiedName, sql};

/// The extension that manages a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Citus: a distributed or reference table. <https://docs.citusdata.com/en/stable/develop/api_metadata.html>
    Citus,
    /// `TimescaleDB`: a hypertable, whose rows are in chunks.
    Timescale,
}

impl Manager {
    /// The extension that manages the table with this oid, if any.
    pub async fn find(client: &Client, table: u32) -> Result<Option<Self>> {
        for row in client.query(&sql!("catalog/find_managed.sql").text(), &[]).await? {
            let (schema, name): (String, String) = (row.try_get("schema_name")?, row.try_get("name")?);
            let manager = if name == "hypertable" { Manager::Timescale } else { Manager::Citus };
            let is_it = match manager {
                Manager::Citus => "m.logicalrelid::pg_catalog.oid = c.oid",
                Manager::Timescale => {
                    "m.schema_name::pg_catalog.text = n.nspname and m.table_name::pg_catalog.text = c.relname"
                }
            };
            let catalog = QualifiedName::new(schema, name);
            let text = format!(
                "select exists (select from {catalog} m, pg_catalog.pg_class c
                                join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                                where c.oid = $1 and {is_it})"
            );
            if client.query_one(&text, &[&table]).await?.try_get(0)? {
                return Ok(Some(manager));
            }
        }
        Ok(None)
    }
}
