//! Capture: from the commit of the triggers on, every transaction that changes a row of `from` also logs the row's key.
//!
//! The log, the key set and the functions are created with the shadow ([`prepare`]). The triggers are created later
//! under a short lock ([`start`]), or in the swap ([`trigger_statements`]).

mod function;
pub mod segment;

use tokio_postgres::Client;

use crate::alter::LockMode;
use crate::catalog::{Column, Fingerprint};
use crate::error::{Error, Kind, Result};
use crate::lock::{Locking, Request};
use crate::name::{Fragment, Ident, Literal, QualifiedName, sql};
use crate::pair::{Direction, Pair};
use crate::run::{definition, made};
use crate::state::TableChange;
use function::{has_more, in_literal, row_function};
pub use function::{trigger_names, trigger_statements};
use segment::{Parent, Store};

/// A table to capture.
#[derive(Debug)]
pub struct Captured {
    /// The columns of its key.
    pub key: Vec<Column>,
    /// A table with the shape of the rows that a round takes out of the other table.
    pub held_like: QualifiedName,
    /// Whether it is UNLOGGED.
    pub is_unlogged: bool,
}

/// Creates the log, the key set, the table for rows taken out, and the capture functions of one direction, in the
/// transaction that creates the shadow. The key set is as persistent as the table, because a crash empties an UNLOGGED
/// one. The log is never UNLOGGED: the order of its entries is their order in the WAL.
pub async fn prepare(
    client: &Client,
    change: &TableChange,
    direction: Direction,
    captured: &Captured,
) -> Result<()> {
    let Captured { key, held_like, is_unlogged } = captured;
    let persistence = Fragment::trusted(if *is_unlogged { "unlogged" } else { "" });
    let own = |what: &str| change.own(&format!("{what}_{}", direction.as_str()));
    let typed = |prefix: &str| {
        key.iter()
            .enumerate()
            .map(|(n, column)| {
                let collation =
                    column.collation.as_ref().map(|name| format!(" collate {name}")).unwrap_or_default();
                format!("{prefix}{} {}{collation}", n + 1, column.type_name)
            })
            .collect::<Vec<_>>()
    };
    let numbered = |prefix: &str| (1..=key.len()).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let both = |a: Vec<String>, b: Vec<String>| Fragment::join(a.into_iter().chain(b), ", ");
    let (log, keys, function) = (own("log"), own("keys"), own("capture"));
    let statements = [
        sql!("capture/create_log.sql").fill("log", &log).fill("columns", &both(typed("o"), typed("n"))),
        sql!("capture/create_keys.sql")
            .fill("persistence", &persistence)
            .fill("keys", &keys)
            .fill("columns", &Fragment::join(typed("k"), ", ")),
        if has_more(change, direction) {
            sql!("capture/create_keys_of_truncate_function.sql")
                .fill("function", &own("truncate"))
                .fill("log", &Fragment::trusted(Literal(&log.to_string()).to_string()))
                .fill("columns", &both(numbered("o"), numbered("n")))
                .fill("key", &in_literal(&Fragment::join(key.iter().map(|column| &column.name), ", ")))
                .fill("nulls", &Fragment::join(vec!["null"; key.len()], ", "))
        } else {
            sql!("capture/create_truncate_function.sql")
                .fill("function", &own("truncate"))
                .fill("log", &log)
                .fill("columns", &both(numbered("o"), numbered("n")))
                .fill("values", &Fragment::join(vec!["null"; 2 * key.len()], ", "))
        },
    ];
    for statement in statements {
        client.batch_execute(&statement.text()).await?;
    }
    let always_logged = Fragment::trusted("");
    let of = |store, name| Parent { table_change: change.id, store, name };
    of(Store::Log, &log).create_segment(client, 1, &always_logged).await?;
    of(Store::Keys, &keys).create_segment(client, 1, &persistence).await?;
    let names: Vec<&Ident> = key.iter().map(|column| &column.name).collect();
    client.batch_execute(&row_function(&function, &segment::name(&log, 1), &names)).await?;
    let held = own("held");
    client.batch_execute(&format!("create table {held} (like {held_like})")).await?;
    for (table, is_unlogged) in [(&log, false), (&keys, *is_unlogged), (&held, false)] {
        made::expect_own(client, table, is_unlogged).await?;
    }
    // NOT NULL is not needed: a row taken out was valid before.
    try_on_clone(client, change, direction, key).await
}

/// Fires the triggers once on a clone, inside a savepoint: an error of a trigger would make the application's write
/// fail.
async fn try_on_clone(
    client: &Client,
    change: &TableChange,
    direction: Direction,
    key: &[Column],
) -> Result<()> {
    let clone = change.own("clone");
    let names = Fragment::join(key.iter().map(|column| &column.name), ", ");
    let source = match direction {
        Direction::Forward => change.name.clone(),
        Direction::Reverse => change.shadow(),
    };
    let first = &key[0].name;
    client
        .batch_execute(&format!(
            "savepoint pgrecast_clone; create table {clone} as select {names} from only {source} limit 1"
        ))
        .await?;
    made::expect_own(client, &clone, false).await?;
    client
        .batch_execute(&format!(
            "{}; update {clone} set {first} = {first}; insert into {clone} select * from {clone}; \
             delete from {clone}; truncate {clone}; rollback to savepoint pgrecast_clone",
            trigger_statements(change, direction, &clone)
        ))
        .await
        .map_err(|error| Error::from(error).context("the capture triggers failed on a clone of the table"))
}

/// Creates the forward triggers on the original; leaves the transaction open for the phase. CREATE TRIGGER waits for
/// every open transaction that has written to the table. So no change is missed after it commits; rows beyond the
/// blocks that are read afterwards are in the log.
///
/// Run twice: the phase says whether it is done. Killed midway: the transaction is rolled back.
pub async fn start(client: &Client, change: &TableChange, locking: &mut Locking<'_>) -> Result<()> {
    let digest = Fingerprint::plan(client, change.original_oid).await?;
    let request = Request::table(&change.name, change.original_oid);
    loop {
        if locking.try_acquire(&request, LockMode::ShareRowExclusive).await? {
            match put_on(client, change, &digest).await {
                // The work took longer than the lock may be held.
                Err(error) if error.kind == Kind::Transient => client.batch_execute("rollback").await?,
                other => return other,
            }
        }
        locking.wait(&request, LockMode::ShareRowExclusive).await?;
    }
}

async fn put_on(client: &Client, change: &TableChange, digest: &Fingerprint) -> Result<()> {
    if digest.of(client, change.original_oid).await? != change.fingerprint {
        return Err(definition::changed(change));
    }
    client.batch_execute(&trigger_statements(change, Direction::Forward, &change.name)).await?;
    record_triggers(client, change, change.original_oid).await
}

async fn trigger_xmins(client: &Client, table: u32) -> Result<Vec<String>> {
    Ok(client.query_one(&sql!("capture/list_trigger_xmins.sql").text(), &[&table]).await?.try_get("xmins")?)
}

/// Records which triggers capture now; in a swap, in its transaction.
pub async fn record_triggers(client: &Client, change: &TableChange, table: u32) -> Result<()> {
    let xmins = trigger_xmins(client, table).await?;
    change.record_capture_xmins(client, &xmins).await
}

/// Makes sure that capture was never interrupted: the catalog rows of the triggers are still the recorded versions. A
/// trigger that was disabled and enabled again looks the same, but its row has another version.
pub async fn check(client: &Client, change: &TableChange, pair: &Pair) -> Result<()> {
    let found = trigger_xmins(client, pair.from_oid).await?;
    let recorded = change.capture_xmins(client).await?;
    if recorded.as_ref() == Some(&found) && found.len() == 2 {
        return Ok(());
    }
    Err(Error::needs_person(format!(
        "the capture triggers on {} were dropped, disabled or replaced: changes may be missing",
        change.name.shown()
    ))
    .state("no swap is possible: the log is not complete")
    .hint(match pair.direction {
        Direction::Forward => {
            format!("Run `pgrecast abort {}` and start again.", change.name.shown())
        }
        Direction::Reverse => format!(
            "The retired table cannot be brought up to date any more. `pgrecast cleanup {}` keeps the change.",
            change.name.shown()
        ),
    }))
}
