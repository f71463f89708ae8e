//! After the swap: validates the foreign keys that came back NOT VALID, one at a time, and takes the
//! guard off as soon as no snapshot older than the swap lives.
//!
//! Run twice: goes on with what is left. Killed midway: each is a transaction of its own.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::snapshots::{self, Point};
use crate::alter::LockMode;
use crate::catalog::{Fingerprint, find_relation};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::lock::{LockPolicy, Locking, Purpose, Request, Target};
use crate::name::sql;
use crate::plan::{Kind as DependentKind, Side};
use crate::run::events::{Detail, Note, Unit};
use crate::run::{Run, definition};
use crate::state::{Migration, TableChange, load_dependents, mark_validated};

/// Validates the foreign keys of the shape that is in place now.
///
/// VALIDATE CONSTRAINT takes SHARE UPDATE EXCLUSIVE on the referencing table and ROW SHARE on the
/// referenced one: neither readers nor writers wait.
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
            // Made on a partitioned table, whose partitions have it: writers to both tables wait, for no scan.
            Some(parent) if stored.dependent.create.is_empty() => {
                let parent_oid = find_relation(client, parent).await?.unwrap_or_default();
                let targets = vec![Target::partitioned(child, oid), Target::table(parent, parent_oid)];
                (Request { targets, mains: vec![1] }, LockMode::ShareRowExclusive)
            }
            _ => (Request::table(child, oid), LockMode::ShareUpdateExclusive),
        };
        locking.acquire(&request, mode).await?;
        // Our own change of the definition, if nobody else has changed it.
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
                .state("the change is in place; the foreign key is enforced for new rows and still NOT VALID")
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

/// Drops the guard as soon as no snapshot older than the swap lives. `false`: one still does after `limit`; try again
/// later.
pub async fn drop_guard(
    run: &Run,
    migration: &Migration,
    change: &TableChange,
    policy: LockPolicy,
    limit: Duration,
) -> Result<bool> {
    let client = &run.control;
    let (Some(oid), Some(xid), Some(at)) = (
        find_relation(client, &change.name).await?,
        migration.swap_xid.clone(),
        migration.swapped_at.as_ref(),
    ) else {
        return Ok(true);
    };
    let row = client.query_one(&sql!("swap/find_guard.sql").text(), &[&oid, &xid]).await?;
    if !row.try_get::<_, bool>("is_there")? {
        return Ok(true);
    }
    let swapped = Point::after_swap(client, xid, at).await?;
    let (is_free, left) = snapshots::wait(run, change, &swapped, limit, async || Ok(())).await?;
    if !is_free {
        run.events.noted(Note::GuardStays(left));
        return Ok(false);
    }
    Failpoint::GuardIdle.pass();
    let mut locking = Locking::new(run, &[change.id], Purpose::Guard, policy);
    locking.acquire(&Request::table(&change.name, oid), LockMode::AccessExclusive).await?;
    client.batch_execute(&format!("drop trigger pgrecast_guard on {}; commit", change.name)).await?;
    Failpoint::GuardOff.pass();
    Ok(true)
}
