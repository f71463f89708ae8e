//! What hangs on a table and is not ours to carry, and what rights are missing.

use tokio_postgres::Client;

use crate::error::Result;
use crate::name::{Fragment, sql};

/// An object that depends on the table and that we do not carry over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// `type`, `inheritance`, `publication`, ..
    pub kind: String,
    /// Its name, or what the server calls it.
    pub name: String,
}

impl Attached {
    /// All such objects.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        let rows = client.query(Self::statement().as_str(), &[&table]).await?;
        rows.iter()
            .map(|row| Ok(Attached { kind: row.try_get("kind")?, name: row.try_get("name")? }))
            .collect()
    }

    /// The query behind [`Attached::list`].
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
    /// The statement that gives it.
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
