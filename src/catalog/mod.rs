//! The definition of a table and everything attached to it, read from the catalog into plain structs.
//!
//! [`Definition::read`] reads everything in one snapshot. This module changes nothing.

mod column;
mod feature;
mod foreign_key;
mod index;
mod inventory;
mod managed;
mod object;
mod referrer;
mod sequence;
mod table;

use tokio_postgres::Client;

pub use column::{Column, Identity};
pub use feature::{Feature, FeatureKind, event_triggers};
pub use foreign_key::ForeignKey;
pub use index::{ConstraintKind, Index};
pub use inventory::{Attached, Missing};
pub use managed::Manager;
pub use object::{Check, StatisticsObject, Trigger, TriggerState};
pub use referrer::{Furniture, Referrer, ReferrerKind, View};
pub use sequence::OwnedSequence;
pub use table::{Persistence, Table, find_name, find_relation, find_table};

use crate::error::Result;
use crate::name::{Fragment, sql};

/// A table with everything that pgrecast carries over.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The table itself.
    pub table: Table,
    /// Live columns, in order.
    pub columns: Vec<Column>,
    /// All indexes, including those of constraints.
    pub indexes: Vec<Index>,
    /// CHECK constraints.
    pub checks: Vec<Check>,
    /// Foreign keys from and to the table.
    pub foreign_keys: Vec<ForeignKey>,
    /// The user's triggers.
    pub triggers: Vec<Trigger>,
    /// Sequences of serial and identity columns.
    pub sequences: Vec<OwnedSequence>,
    /// Extended statistics.
    pub statistics: Vec<StatisticsObject>,
}

impl Definition {
    /// Reads the definition of the table with this oid.
    ///
    /// # Errors
    /// If the table does not exist any more.
    pub async fn read(client: &Client, oid: u32) -> Result<Self> {
        Ok(Definition {
            table: Table::read(client, oid).await?,
            columns: Column::list(client, oid).await?,
            indexes: Index::list(client, oid).await?,
            checks: Check::list(client, oid).await?,
            foreign_keys: ForeignKey::list(client, oid).await?,
            triggers: Trigger::list(client, oid).await?,
            sequences: OwnedSequence::list(client, oid).await?,
            statistics: StatisticsObject::list(client, oid).await?,
        })
    }

    /// The column with this attribute number.
    #[must_use]
    pub fn column(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// Foreign keys of this table, including those that reference the table itself.
    pub fn foreign_keys_out(&self) -> impl Iterator<Item = &ForeignKey> {
        self.foreign_keys.iter().filter(|key| key.child_oid == self.table.oid)
    }

    /// Foreign keys of other tables that reference this one.
    pub fn foreign_keys_in(&self) -> impl Iterator<Item = &ForeignKey> {
        self.foreign_keys.iter().filter(|key| key.child_oid != self.table.oid)
    }
}

/// Reads a digest of a table's definition and of the objects that refer to it. It stays the same as long as nobody
/// changes any of these.
#[derive(Debug)]
pub struct Fingerprint(tokio_postgres::Statement);

impl Fingerprint {
    /// Prepares the query, because planning takes longer than execution.
    pub async fn prepare(client: &Client) -> Result<Self> {
        Self::prepare_with(client, "1").await
    }

    async fn prepare_with(client: &Client, identity: &str) -> Result<Self> {
        let statement = sql!("catalog/fingerprint_table.sql")
            .fill("identity", &Fragment::trusted(identity))
            .fill("views", &View::statement("array[$1::oid]"))
            .fill("attached", &Attached::statement())
            .fill("others", &Referrer::statement(client, "array[$1::oid]").await?);
        Ok(Fingerprint(client.prepare(&statement.text()).await?))
    }

    /// The same, with the plan created in advance, for reading under a lock.
    pub async fn plan(client: &Client, oid: u32) -> Result<Self> {
        let prepared = Self::prepare(client).await?;
        prepared.of(client, oid).await?;
        Ok(prepared)
    }

    /// The digest of the table with this oid.
    pub async fn of(&self, client: &Client, oid: u32) -> Result<String> {
        // An existing plan is better than one optimized for this oid.
        client.batch_execute("set plan_cache_mode = force_generic_plan").await?;
        let row = client.query_one(&self.0, &[&oid]).await;
        // In a failed transaction the rollback resets it.
        let back = client.batch_execute("set plan_cache_mode = auto").await;
        let row = row?;
        back?;
        Ok(row.try_get("fingerprint")?)
    }
}

/// The same by content only: dropping and creating an equal index does not change it.
#[derive(Debug)]
pub struct Shape(Fingerprint);

impl Shape {
    /// Prepares the query, because planning takes longer than execution.
    pub async fn prepare(client: &Client) -> Result<Self> {
        Ok(Shape(Fingerprint::prepare_with(client, "0").await?))
    }

    /// The digest of the table with this oid.
    pub async fn of(&self, client: &Client, oid: u32) -> Result<String> {
        self.0.of(client, oid).await
    }
}

/// Reads the digest once.
pub async fn fingerprint(client: &Client, oid: u32) -> Result<String> {
    Fingerprint::prepare(client).await?.of(client, oid).await
}
