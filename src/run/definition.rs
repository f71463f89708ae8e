//! Whether the tables are still defined as they were written down: what somebody else adds to one of them would be
//! lost when they change places.
//!
//! Reads the catalog, writes to the state only.

use tokio_postgres::Client;

use crate::catalog::Fingerprint;
use crate::error::{Error, Result};
use crate::pair::{Direction, Pair};
use crate::state::TableChange;

/// Makes sure that nobody has changed the definition of the table that is to be replaced: under the lock, so
/// that it stays true until the commit, and before long work for nothing.
///
/// # Errors
/// [`Kind::NeedsPerson`] when it was changed.
pub async fn check(client: &Client, digest: &Fingerprint, change: &TableChange, pair: &Pair) -> Result<()> {
    let is_as_known = match pair.direction {
        Direction::Forward => {
            if !is_known(client, digest, change, pair.to_oid).await? {
                return Err(Error::needs_person(format!(
                    "the definition of the shadow {} was changed by somebody else",
                    pair.to.shown()
                ))
                .because("it would be the table's from the swap on")
                .hint("Take that back, or `pgrecast abort` and begin again."));
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
            "the definition of {} was changed since the swap: what was added would be lost by going back",
            change.name.shown()
        ))
        .state("nothing was rolled back; the new table is in place")
        .hint("Take that change back, or keep the new shape with `pgrecast cleanup`."),
    })
}

/// Makes sure that nobody but us has changed the table's definition since the plan, or since the step before: steps
/// were proven for that one, and a name may mean something else now.
///
/// # Errors
/// [`Kind::NeedsPerson`] when it was changed.
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
    Err(Error::needs_person(format!("the definition of {table} was changed by somebody else since it was planned"))
        .state("the steps so far are done, this one was not begun")
        .hint(format!(
            "Run `pgrecast abort {table}` and begin again, or take their change back and run `pgrecast run {table}`."
        )))
}

/// Writes down how the new table is defined, since nobody but us has reason to change it before the swap, and so
/// that a rollback notices what was added to it since.
pub async fn record(client: &Client, digest: &Fingerprint, change: &TableChange, new_oid: u32) -> Result<()> {
    let found = digest.of(client, new_oid).await?;
    change.record_new_fingerprint(client, &found).await
}

/// Whether the new table is still defined as it was written down.
pub async fn is_known(
    client: &Client,
    digest: &Fingerprint,
    change: &TableChange,
    new_oid: u32,
) -> Result<bool> {
    let known = change.new_fingerprint(client).await?;
    Ok(known == Some(digest.of(client, new_oid).await?))
}

/// The error for an original whose definition is not the planned one any more.
#[must_use]
pub fn changed(change: &TableChange) -> Error {
    Error::needs_person(format!(
        "the definition of {} was changed by somebody else since it was planned",
        change.name.shown()
    ))
    .state("the table is as they left it; nothing of it was swapped")
    .hint(format!(
        "Run `pgrecast abort {0}` and begin again, or take their change back and run `pgrecast run {0}`.",
        change.name.shown()
    ))
}
