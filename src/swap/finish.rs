//! After the swap: validates the foreign keys that were created NOT VALID, one at a time, and drops the guard as soon
//! as no snapshot older than the swap exists.
//!
//! Run twice: continues with the rest. Killed midway: each is a transaction of its own.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::snapshots::{self, Point, Readers};
use crate::alter::LockMode;
use crate::catalog::{Fingerprint, find_relation};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::lock::{LockPolicy, Locking, Purpose, Request, Target};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::{Kind as DependentKind, Side};
use crate::run::events::{Detail, Note, Unit};
use crate::run::{Run, definition};
use crate::state::{self, Migration, TableChange, load_dependents, mark_validated};

/// Validates the foreign keys of the table in place.
///
/// VALIDATE CONSTRAINT locks the referencing table in SHARE UPDATE EXCLUSIVE mode and the referenced one in ROW SHARE
/// mode: it blocks neither readers nor writers.
pub async fn validate(run: &Run, change: &TableChange, side: Side, policy: LockPolicy) -> Result<()> {
    let client = &run.control;
    let all = load_dependents(client, change.id, side).await?;
    let open: Vec<_> = all
        .iter()
        .filter(|stored| stored.dependent.kind == DependentKind::ForeignKey && !stored.is_validated)
        .collect();
    let digest = Fingerprint::prepare(client).await?;
    for (n, stored) in open.iter().enumerate() {
        let Some(statement) = &stored.dependent.validate else { continue };
        let detail = Detail::Object(stored.dependent.name.shown());
        run.events.progressed(n as i64, open.len() as i64, Unit::ForeignKeys, detail);
        let child = &stored.dependent.table;
        let oid = find_relation(client, child).await?.ok_or_else(|| {
            Error::needs_person(format!("table {} does not exist any more", child.shown()))
                .state("the change is in place")
        })?;
        let mut locking = Locking::new(run, &[change.id], Purpose::Validation, policy);
        let (request, mode) = match &stored.dependent.other_table {
            // Created on a partitioned table whose partitions have it already: writers to both tables wait, but only
            // for a moment, because no scan is needed.
            Some(parent) if stored.dependent.create.is_empty() => {
                let parent_oid = find_relation(client, parent).await?.unwrap_or_default();
                let targets = vec![Target::partitioned(child, oid), Target::table(parent, parent_oid)];
                (Request { targets, mains: vec![1] }, LockMode::ShareRowExclusive)
            }
            _ => (Request::table(child, oid), LockMode::ShareUpdateExclusive),
        };
        locking.acquire(&request, mode).await?;
        // Record our own change of the definition, if nobody else has changed it.
        let new = change.shadow_oid.filter(|_| side == Side::New);
        let is_known = match new {
            Some(new) => definition::is_known(client, &digest, change, new).await?,
            None => false,
        };
        if let Err(error) = client.batch_execute(statement).await {
            let error = Error::from(error);
            client.batch_execute("rollback").await?;
            let is_data = error.is_sqlstate(&SqlState::FOREIGN_KEY_VIOLATION);
            let error = error
                .context(format!("foreign key {} could not be validated", stored.dependent.name.shown()));
            return Err(if is_data { error.with_kind(Kind::NeedsPerson) } else { error }
                .state(
                    "the change is in place; the foreign key is enforced for new rows and remains NOT VALID",
                )
                .hint("Correct the rows and run the same command again."));
        }
        mark_validated(client, stored.id).await?;
        if let Some(new) = new.filter(|_| is_known) {
            definition::record(client, &digest, change, new).await?;
        }
        client.batch_execute("commit").await?;
        Failpoint::ForeignKeyValidated.pass();
    }
    Ok(())
}

/// Drops the guards as soon as no snapshot older than the swap exists. `false`: one still exists after `limit`; try
/// again later.
pub async fn drop_guard(
    run: &Run,
    migration: &Migration,
    change: &TableChange,
    policy: LockPolicy,
    limit: Duration,
) -> Result<bool> {
    let client = &run.control;
    let (Some(xid), Some(at)) = (&migration.swap_xid, &migration.swapped_at) else { return Ok(true) };
    let guards = Guard::list(client, xid).await?;
    if guards.is_empty() {
        return Ok(true);
    }
    let swapped = Point::after_swap(client, xid.clone(), at).await?;
    let (is_free, left) =
        snapshots::wait(run, change, (&swapped, Readers::Here), limit, async || Ok(())).await?;
    if !is_free {
        run.events.noted(Note::GuardStays(left));
        return Ok(false);
    }
    Failpoint::GuardIdle.pass();
    for guard in guards {
        let mut locking = Locking::new(run, &[change.id], Purpose::Guard, policy);
        locking.acquire(&Request::table(&guard.table, guard.oid), LockMode::AccessExclusive).await?;
        client.batch_execute(&format!("{}; commit", guard.drop_statement())).await?;
    }
    Failpoint::GuardOff.pass();
    Ok(true)
}

/// A guard of a swap, on the table that was swapped or on one whose foreign key leads to it.
pub(crate) struct Guard {
    /// The table's oid.
    pub(crate) oid: u32,
    /// The table.
    pub(crate) table: QualifiedName,
    trigger: Ident,
}

impl Guard {
    /// Those of the swap of this transaction.
    pub(crate) async fn list(client: &Client, xid: &str) -> Result<Vec<Self>> {
        let function = state::guard();
        let rows = client
            .query(
                &sql!("swap/list_guards.sql").text(),
                &[&function.schema.as_str(), &function.name.as_str(), &xid],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let table: (String, String) = (row.try_get("schema_name")?, row.try_get("table_name")?);
                Ok(Guard {
                    oid: row.try_get("oid")?,
                    table: QualifiedName::new(table.0, table.1),
                    trigger: Ident::new(row.try_get::<_, String>("trigger_name")?),
                })
            })
            .collect()
    }

    /// The statement that drops it.
    pub(crate) fn drop_statement(&self) -> String {
        format!("drop trigger if exists {} on {}", self.trigger, self.table)
    }
}
