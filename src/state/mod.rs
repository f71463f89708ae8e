//! The state of each migration, in schema `pgrecast` of its database. All statements on this state are here; no other
//! module knows the schema.
//!
//! The state is stored in columns. Phase changes are compare-and-set. Work and phase commit together: a step records
//! its result and the phase in one transaction.

mod blueprint;
pub mod chunk;
pub mod lease;
mod migration;
mod part;
mod phase;
pub mod segment;
pub mod session;
mod step;
mod table_change;
mod version;

use tokio_postgres::Client;

pub use blueprint::{
    StoredDependent, load_dependents, load_key, load_mapping, mark_made, mark_validated, store,
};
pub use migration::{Migration, NewMigration, PhaseTime};
pub use part::Part;
pub use phase::Phase;
pub use step::{StoredStep, load_steps, mark_begun, mark_done, mark_undone, store_steps};
pub use table_change::{LockCost, NewTableChange, TableChange, Verification};
pub use version::{expect_free_name, install, is_installed, tables, upgrade};

use crate::error::Result;
use crate::name::{Ident, QualifiedName, sql};

/// The schema of the state, and of the logs and functions of all migrations.
const SCHEMA: &str = "pgrecast";

/// The name of an object in the schema of the state.
fn own(name: &str) -> QualifiedName {
    QualifiedName::new(SCHEMA, name)
}

/// The schema of the logs, key sets and functions of a migration.
#[must_use]
pub fn schema() -> Ident {
    Ident::new(SCHEMA)
}

/// The trigger function of the guard.
#[must_use]
pub fn guard() -> QualifiedName {
    own("guard")
}

/// Adds a line to a migration's history.
pub async fn record(client: &Client, id: uuid::Uuid, kind: &str, message: &str) -> Result<()> {
    client.execute(&sql!("state/insert_event.sql").text(), &[&id, &kind, &message]).await?;
    Ok(())
}
