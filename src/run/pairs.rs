//! Reads the parts of a pair: the mapping and key from the state, and the current columns from the catalog.

use tokio_postgres::Client;

use crate::catalog::{Column, find_name};
use crate::error::{Error, Result};
use crate::name::QualifiedName;
use crate::pair::{Direction, Known, Pair};
use crate::state::{TableChange, load_key, load_mapping};

/// The pair of a table change, in one direction.
///
/// # Errors
/// [`crate::error::Kind::NeedsPerson`] if another session has dropped, renamed or moved one of the tables.
pub async fn load(client: &Client, change: &TableChange, direction: Direction) -> Result<Pair> {
    let reverse = match direction {
        Direction::Forward => None,
        Direction::Reverse => Some(load_mapping(client, change.id, "reverse").await?),
    };
    let oids = change.shadow_oid.map(|shadow| match direction {
        Direction::Forward => (change.original_oid, shadow),
        Direction::Reverse => (shadow, change.original_oid),
    });
    let Some((from, to)) = oids else { return Err(Error::failed("the shadow does not exist yet")) };
    let known = Known {
        forward: load_mapping(client, change.id, "forward").await?,
        reverse,
        key: load_key(client, change.id).await?,
        from_columns: Column::list(client, from).await?,
        to_columns: Column::list(client, to).await?,
    };
    let to_name = match direction {
        Direction::Forward => change.shadow(),
        Direction::Reverse => change.retired(),
    };
    for (oid, name) in [(from, &change.name), (to, &to_name)] {
        expect_table(client, change, oid, name).await?;
    }
    Pair::new(change, direction, known)
}

/// Makes sure that a table exists and has its name.
async fn expect_table(client: &Client, change: &TableChange, oid: u32, name: &QualifiedName) -> Result<()> {
    let is_ours = *name != change.name;
    let what = if is_ours { "our table " } else { "" };
    let happened = match find_name(client, oid).await? {
        None => "does not exist any more".to_owned(),
        Some(now) if now == *name => return Ok(()),
        Some(now) => format!("was renamed or moved by another session: it is {} now", now.shown()),
    };
    Err(Error::needs_person(format!("{what}{} {happened}", name.shown()))
        .because(if is_ours {
            "the migration cannot continue without the shadow or retired table"
        } else {
            "it is the table to change"
        })
        .hint("Undo that change, or end the migration: `pgrecast abort`, after the swap `pgrecast cleanup`."))
}
