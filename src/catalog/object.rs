//! CHECK constraints, triggers and extended statistics.

use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::name::{Ident, QualifiedName, sql};

/// A CHECK constraint, or a NOT NULL constraint that is NOT VALID.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its name.
    pub name: Ident,
    /// As `pg_get_constraintdef` writes it, with `NOT VALID` where it is so.
    pub definition: String,
    /// Of NOT NULL: the number of the column.
    pub not_null: Option<i16>,
    /// Whether it is validated for all rows.
    pub is_valid: bool,
    /// Its comment.
    pub comment: Option<String>,
}

impl Check {
    /// All CHECK constraints of a table.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        let rows = client.query(&sql!("catalog/list_checks.sql").text(), &[&table]).await?;
        rows.iter()
            .map(|row| {
                Ok(Check {
                    name: Ident::new(row.try_get::<_, String>("name")?),
                    definition: row.try_get("definition")?,
                    not_null: row.try_get("not_null")?,
                    is_valid: row.try_get("is_valid")?,
                    comment: row.try_get("comment")?,
                })
            })
            .collect()
    }
}

/// When a trigger fires, by `session_replication_role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerState {
    /// `O`: in origin and local mode, the default.
    Origin,
    /// `R`: in replica mode only.
    Replica,
    /// `A`: always.
    Always,
    /// `D`: never.
    Disabled,
}

impl TriggerState {
    /// The words of ALTER TABLE that set it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            TriggerState::Origin => "enable",
            TriggerState::Replica => "enable replica",
            TriggerState::Always => "enable always",
            TriggerState::Disabled => "disable",
        }
    }
}

/// A trigger of the user.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// Its name.
    pub name: Ident,
    /// As `pg_get_triggerdef` writes it.
    pub definition: String,
    /// When it fires.
    pub state: TriggerState,
    /// Its comment.
    pub comment: Option<String>,
}

impl Trigger {
    /// The user's triggers on a table.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        let rows = client.query(&sql!("catalog/list_triggers.sql").text(), &[&table]).await?;
        rows.iter()
            .map(|row| {
                Ok(Trigger {
                    name: Ident::new(row.try_get::<_, String>("name")?),
                    definition: row.try_get("definition")?,
                    state: match row.try_get::<_, &str>("enabled")? {
                        "O" => TriggerState::Origin,
                        "R" => TriggerState::Replica,
                        "A" => TriggerState::Always,
                        "D" => TriggerState::Disabled,
                        other => return Err(Error::failed(format!("unknown trigger state {other:?}"))),
                    },
                    comment: row.try_get("comment")?,
                })
            })
            .collect()
    }
}

/// An extended statistics object.
#[derive(Debug, Clone)]
pub struct StatisticsObject {
    /// Its name and its own schema.
    pub name: QualifiedName,
    /// As `pg_get_statisticsobjdef` writes it.
    pub definition: String,
    /// The role that owns it.
    pub owner: Ident,
    /// Its statistics target; -1 is the default.
    pub target: i32,
    /// Its comment.
    pub comment: Option<String>,
}

impl StatisticsObject {
    /// All extended statistics on a table.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        let rows = client.query(&sql!("catalog/list_statistics.sql").text(), &[&table]).await?;
        rows.iter()
            .map(|row| {
                Ok(StatisticsObject {
                    name: QualifiedName::new(
                        row.try_get::<_, String>("schema_name")?,
                        row.try_get::<_, String>("name")?,
                    ),
                    definition: row.try_get("definition")?,
                    owner: Ident::new(row.try_get::<_, String>("owner")?),
                    target: row.try_get("target")?,
                    comment: row.try_get("comment")?,
                })
            })
            .collect()
    }
}
