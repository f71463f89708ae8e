//! What is true of each migration, kept in schema `pgrecast` of the database it works in.
//!
//! Columns, not a blob. Phase changes are compare-and-set; work and phase commit together: a step
//! writes its result and the phase in one transaction.

mod blueprint;
mod migration;
mod phase;
mod step;
mod table_change;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

pub use blueprint::{
    StoredDependent, load_dependents, load_key, load_mapping, mark_made, mark_validated, store,
};
pub use migration::{Migration, NewMigration, PhaseTime};
pub use phase::Phase;
pub use step::{StoredStep, load_steps, mark_begun, mark_done, mark_undone, store_steps};
pub use table_change::{Asked, TableChange};

use crate::error::{Code, Error, Result};
use crate::name::sql;

const SCHEMA_VERSION: i32 = 2;

/// Whether the state's schema is there.
///
/// # Errors
/// When it was made by another version of the program.
pub async fn is_installed(client: &Client) -> Result<bool> {
    let found: bool = client
        .query_one("select pg_catalog.to_regclass('pgrecast.version') is not null", &[])
        .await
        .map_err(|error| {
            let error = Error::from(error);
            if !error.is_sqlstate(&SqlState::INSUFFICIENT_PRIVILEGE) {
                return error;
            }
            error
                .context("this role may not read the state in schema \"pgrecast\"")
                .state("nothing was changed")
                .hint("Connect as a role that has the rights of the table's owner by inheritance, or with PGOPTIONS='-c role=OWNER'.")
        })?
        .try_get(0)?;
    if !found {
        return Ok(false);
    }
    let version: i32 =
        client.query_one("select schema_version from pgrecast.version", &[]).await?.try_get(0)?;
    if version == SCHEMA_VERSION {
        Ok(true)
    } else {
        Err(Error::failed(format!(
            "schema \"pgrecast\" has version {version}, this program knows version {SCHEMA_VERSION}"
        ))
        .hint("Use the program that made it, or finish its migrations and drop the schema."))
    }
}

/// Makes sure that no schema of somebody else has the name that the state needs.
///
/// # Errors
/// [`Code::SchemaTaken`] when one has.
pub async fn expect_free_name(client: &Client) -> Result<()> {
    if is_installed(client).await? {
        return Ok(());
    }
    let taken: bool = client
        .query_one("select pg_catalog.to_regnamespace('pgrecast') is not null", &[])
        .await?
        .try_get(0)?;
    if taken {
        return Err(Error::refused(Code::SchemaTaken, "pgrecast did not create the schema \"pgrecast\"")
            .about("pgrecast")
            .state("nothing was changed")
            .hint("Rename that schema; pgrecast needs the name."));
    }
    Ok(())
}

/// Makes the state's schema if it is not there. Run twice: finds it. Killed midway: one transaction.
pub async fn install(client: &Client) -> Result<()> {
    if is_installed(client).await? {
        return Ok(());
    }
    expect_free_name(client).await?;
    let text = format!("begin; {}; commit", sql!("state/create_schema.sql").text().trim_end_matches(';'));
    if let Err(error) = client.batch_execute(&text).await {
        client.batch_execute("rollback").await?;
        return Err(Error::from(error).context("could not create schema \"pgrecast\" for the state"));
    }
    Ok(())
}

/// Adds a line to a migration's history.
pub async fn record(client: &Client, id: uuid::Uuid, kind: &str, message: &str) -> Result<()> {
    client.execute(&sql!("state/insert_event.sql").text(), &[&id, &kind, &message]).await?;
    Ok(())
}
