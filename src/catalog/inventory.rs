//! Objects that depend on a table and that pgrecast cannot carry over, and missing rights.

use tokio_postgres::Client;

use crate::error::Result;
use crate::name::{Fragment, sql};

/// An object that depends on the table and that pgrecast does not carry over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// `type`, `inheritance`, `publication`, ..
    pub kind: String,
    /// Its name, or the server's description.
    pub name: String,
}

impl Attached {
    /// Whether it is a parent or a child table.
    #[must_use]
    pub fn is_inheritance(&self) -> bool {
        self.kind == "inheritance"
    }

    /// All such objects.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        let rows = client.query(Self::statement().as_str(), &[&table]).await?;
        rows.iter()
            .map(|row| Ok(Attached { kind: row.try_get("kind")?, name: row.try_get("name")? }))
            .collect()
    }

    /// The first such object of these relations.
    pub async fn first(client: &Client, relations: &[u32]) -> Result<Option<Self>> {
        // Prepared, because planning it takes longer than running it.
        let statement = client.prepare(Self::statement().as_str()).await?;
        for oid in relations {
            if let Some(row) = client.query(&statement, &[oid]).await?.first() {
                return Ok(Some(Attached { kind: row.try_get("kind")?, name: row.try_get("name")? }));
            }
        }
        Ok(None)
    }

    /// The query of [`Attached::list`].
    pub(super) fn statement() -> Fragment {
        Fragment::trusted(sql!("catalog/list_attached.sql").text())
    }
}

/// The privilege of `pg_has_role` by which this server allows SET ROLE.
pub(super) fn set_role() -> Fragment {
    Fragment::trusted(sql!("catalog/set_role.sql").text())
}

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// The statement that grants it.
    pub remedy: String,
}

impl Missing {
    /// All rights that are missing for a migration of this table.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        let statement = sql!("catalog/list_privileges.sql").fill("set_role", &set_role());
        let rows = client.query(&statement.text(), &[&table]).await?;
        rows.iter()
            .map(|row| Ok(Missing { what: row.try_get("missing")?, remedy: row.try_get("remedy")? }))
            .collect()
    }
}
