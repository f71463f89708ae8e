//! Checks that the definitions of the tables are still the recorded ones. Anything that another session adds to one of
//! them would be lost in the exchange.
//!
//! Reads the catalog, writes to the state only.

use tokio_postgres::Client;

use crate::catalog::Fingerprint;
use crate::error::{Error, Result};
use crate::pair::{Direction, Pair};
use crate::state::TableChange;

/// Makes sure that nobody has changed the definition of the table to be replaced: under the lock, so that it is true
/// until the commit, and also before long work, to fail early.
///
/// # Errors
/// [`Kind::NeedsPerson`] if it was changed.
pub async fn check(client: &Client, digest: &Fingerprint, change: &TableChange, pair: &Pair) -> Result<()> {
    let is_as_known = match pair.direction {
        Direction::Forward => {
            if !is_known(client, digest, change, pair.to_oid).await? {
                return Err(Error::needs_person(format!(
                    "another session has changed the definition of the shadow {}",
                    pair.to.shown()
                ))
                .because("after the swap it would be the definition of the table")
                .hint("Undo that change, or run `pgrecast abort` and start again."));
            }
            digest.of(client, pair.from_oid).await? == change.fingerprint
        }
        Direction::Reverse => is_known(client, digest, change, pair.from_oid).await?,
    };
    if is_as_known {
        return Ok(());
    }
    Err(match pair.direction {
        Direction::Forward => changed(change),
        Direction::Reverse => Error::needs_person(format!(
            "the definition of {} was changed since the swap: a rollback would lose the change",
            change.name.shown()
        ))
        .state("nothing was rolled back; the new table is in place")
        .hint("Undo that change, or keep the new shape with `pgrecast cleanup`."),
    })
}

/// Makes sure that nobody else has changed the table's definition since the plan or the last step. The steps were
/// verified for that definition, and a name may mean something else now.
///
/// # Errors
/// [`Kind::NeedsPerson`] if it was changed.
pub async fn expect_known(
    client: &Client,
    digest: &Fingerprint,
    change: &TableChange,
    known: &str,
) -> Result<()> {
    if digest.of(client, change.original_oid).await? == known {
        return Ok(());
    }
    let table = change.name.shown();
    Err(Error::needs_person(format!(
        "another session has changed the definition of {table} since it was planned"
    ))
    .state("the steps so far are done, this one has not begun")
    .hint(format!(
        "Run `pgrecast abort {table}` and start again, or undo that change and run `pgrecast run {table}`."
    )))
}

/// Records the definition of the new table. Nobody else has a reason to change it before the swap, and a rollback
/// detects what was added to it since.
pub async fn record(client: &Client, digest: &Fingerprint, change: &TableChange, new_oid: u32) -> Result<()> {
    let found = digest.of(client, new_oid).await?;
    change.record_new_fingerprint(client, &found).await
}

/// Whether the definition of the new table is still the recorded one.
pub async fn is_known(
    client: &Client,
    digest: &Fingerprint,
    change: &TableChange,
    new_oid: u32,
) -> Result<bool> {
    let known = change.new_fingerprint(client).await?;
    Ok(known == Some(digest.of(client, new_oid).await?))
}

/// The error for an original whose definition was changed since the plan.
#[must_use]
pub fn changed(change: &TableChange) -> Error {
    Error::needs_person(format!(
        "another session has changed the definition of {} since it was planned",
        change.name.shown()
    ))
    .state("pgrecast has not changed the table; nothing was swapped")
    .hint(format!(
        "Run `pgrecast abort {0}` and start again, or undo that change and run `pgrecast run {0}`.",
        change.name.shown()
    ))
}
