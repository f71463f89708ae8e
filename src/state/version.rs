//! The version of the state: creates the state in this program's version, or upgrades an older one.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::schema;
use crate::error::{Code, Error, Result};
use crate::name::{Ident, QualifiedName, Statement, sql};

/// The version that this program reads and writes.
const VERSION: i32 = 3;

/// The upgrades from each older version to the next.
fn upgrades() -> [(i32, Statement); 1] {
    [(2, sql!("state/upgrade_from_2.sql"))]
}

/// Whether the state exists, in this program's version.
///
/// # Errors
/// If another version of the program created it.
pub async fn is_installed(client: &Client) -> Result<bool> {
    match version(client).await? {
        None => Ok(false),
        Some(VERSION) => Ok(true),
        Some(older) if older < VERSION => Err(Error::failed(format!(
            "the state in schema \"pgrecast\" has version {older}, this program needs version {VERSION}"
        ))
        .state("nothing was changed")
        .hint(if older < upgrades()[0].0 {
            "Use the version of pgrecast that created it, or finish its migrations with that version and drop the schema."
        } else {
            "The next `pgrecast run` upgrades it; open migrations continue."
        })),
        Some(newer) => Err(newer_than_us(newer)),
    }
}

fn newer_than_us(version: i32) -> Error {
    Error::failed(format!(
        "the state in schema \"pgrecast\" has version {version}, this program supports version {VERSION}"
    ))
    .because("a newer version of pgrecast created it")
    .state("nothing was changed")
    .hint("Use that version of pgrecast.")
}

async fn version(client: &Client) -> Result<Option<i32>> {
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
                .hint("Connect as a role that inherits the rights of the table's owner, or with PGOPTIONS='-c role=OWNER'.")
        })?
        .try_get(0)?;
    if !found {
        return Ok(None);
    }
    Ok(Some(client.query_one("select schema_version from pgrecast.version", &[]).await?.try_get(0)?))
}

/// Makes sure that no foreign schema has the name that the state needs.
///
/// # Errors
/// [`Code::SchemaTaken`] if one has.
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

/// Creates the schema of the state if it does not exist, and returns whether it did. Run twice: finds it. Killed midway:
/// one transaction.
pub async fn install(client: &Client) -> Result<bool> {
    if is_installed(client).await? {
        return Ok(false);
    }
    expect_free_name(client).await?;
    let text = format!("begin; {}; commit", sql!("state/create_schema.sql").text().trim_end_matches(';'));
    if let Err(error) = client.batch_execute(&text).await {
        client.batch_execute("rollback").await?;
        return Err(Error::from(error).context("could not create schema \"pgrecast\" for the state"));
    }
    Ok(true)
}

/// The tables of the state.
pub async fn tables(client: &Client) -> Result<Vec<QualifiedName>> {
    let rows = client.query(&sql!("state/list_tables.sql").text(), &[&schema().as_str()]).await?;
    rows.iter().map(|row| Ok(super::own(row.try_get("name")?))).collect()
}

/// Upgrades an older state to this program's version, one version at a time, each in one transaction, as the role that
/// owns it. Run twice: finds it done. Killed midway: the next run does the remaining versions.
///
/// # Errors
/// If it is newer, or if the role may not SET ROLE to its owner.
pub async fn upgrade(client: &Client) -> Result<()> {
    for (from, statement) in upgrades() {
        match version(client).await? {
            Some(version) if version > VERSION => return Err(newer_than_us(version)),
            Some(version) if version == from => {}
            _ => continue,
        }
        let owner: String = client
            .query_one(
                "select pg_catalog.pg_get_userbyid(nspowner)::text from pg_catalog.pg_namespace where nspname = $1",
                &[&schema().as_str()],
            )
            .await?
            .try_get(0)?;
        // If two runs begin at the same time, the second one waits for the lock, and then finds the new version.
        let text = format!(
            "begin; set local role {}; lock table pgrecast.version in access exclusive mode",
            Ident::new(owner)
        );
        let upgraded = async {
            client.batch_execute(&text).await?;
            if version(client).await? == Some(from) {
                client.batch_execute(&statement.text()).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = upgraded.await {
            client.batch_execute("rollback").await?;
            return Err(error
                .context(format!(
                    "could not upgrade the state in schema \"pgrecast\" from version {from} to the next one"
                ))
                .state("nothing was changed"));
        }
        client.batch_execute("commit").await?;
        tracing::info!(from, "state upgraded");
    }
    Ok(())
}
