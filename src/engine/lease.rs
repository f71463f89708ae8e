//! One run at a time: a session-level advisory lock per table, which is released when its session ends.

use std::time::Duration;

use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::name::sql;
use crate::run::Run;
use crate::run::events::Note;
use crate::state::{Migration, TableChange};

/// First half of our advisory locks' keys: "pgrc".
const CLASS: i32 = 0x7067_7263;

/// How long to wait for the lease. The session of a killed run may still hold it for a moment.
const LEASE: Duration = Duration::from_secs(3);

/// How long to wait for sessions of an earlier run that this role may not terminate. The server notices within
/// `client_connection_check_interval` that their client is gone.
const ORPHANS: Duration = Duration::from_secs(10);

/// Acquires the lease for the tables of a migration, and makes sure that no backend of an earlier run is still active.
///
/// # Errors
/// If another run holds it; the error names its backend.
pub(super) async fn take(run: &Run, migration: &Migration) -> Result<()> {
    let control = &run.control;
    for change in &migration.tables {
        let deadline = tokio::time::Instant::now() + LEASE;
        while !try_lock(control, change.original_oid).await? {
            if tokio::time::Instant::now() >= deadline {
                return Err(held_elsewhere(control, migration, change.original_oid).await?);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    if end_orphans(control, migration).await? {
        run.events.noted(Note::OrphansEnded);
    }
    migration.record_runner(control, control.pid()).await
}

async fn try_lock(client: &Client, table: u32) -> Result<bool> {
    let row = client
        .query_one("select pg_catalog.pg_try_advisory_lock($1, $2)", &[&CLASS, &table.cast_signed()])
        .await?;
    Ok(row.try_get(0)?)
}

/// Makes sure, in the transaction that begins a migration, that no other migration of the same table begins.
pub(super) async fn only_one(client: &Client, table: u32) -> Result<()> {
    let row = client
        .query_one("select pg_catalog.pg_try_advisory_xact_lock($1, $2)", &[&CLASS, &table.cast_signed()])
        .await?;
    let is_open = TableChange::is_open_on(client, table).await?;
    if row.try_get(0)? && !is_open {
        return Ok(());
    }
    client.batch_execute("rollback").await?;
    Err(Error::failed("another run has just begun to change this table").hint("`pgrecast status` shows it."))
}

/// Waits a moment for sessions of an earlier run to end, then terminates them: they are pgrecast's own, and one of them
/// could still be copying a chunk. Returns whether there were any.
///
/// # Errors
/// If this role may not terminate them and they do not end.
pub(super) async fn end_orphans(client: &Client, migration: &Migration) -> Result<bool> {
    let label = format!("pgrecast {} ", migration.short_id());
    let began = tokio::time::Instant::now();
    let mut found = false;
    loop {
        // Only the role that logged in may terminate its sessions; this need not be the table's owner.
        client.batch_execute("begin; set local role none").await?;
        let row = client.query_one(&sql!("engine/end_orphans.sql").text(), &[&label, &found]).await;
        client.batch_execute("rollback").await?;
        let row = row?;
        if row.try_get::<_, i64>("sessions")? == 0 {
            return Ok(found);
        }
        if began.elapsed() >= ORPHANS {
            let who: String = row.try_get("who")?;
            return Err(Error::failed("sessions of an earlier run of this migration are still active")
                .because(who)
                .state("this command did nothing")
                .hint(
                    "They normally end within seconds. If not, terminate them with pg_terminate_backend.",
                ));
        }
        found = true;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn held_elsewhere(client: &Client, migration: &Migration, table: u32) -> Result<Error> {
    let row = client
        .query_opt(&sql!("engine/find_lease_holder.sql").text(), &[&CLASS.cast_unsigned(), &table])
        .await?;
    let who = match row {
        Some(row) => {
            let pid: i32 = row.try_get("pid")?;
            let application: String = row.try_get("application")?;
            let client: String = row.try_get("client")?;
            format!("held by pid {pid} \"{application}\" from {client}")
        }
        None => "it was released just now".to_owned(),
    };
    Ok(Error::failed(format!("migration {} is already running elsewhere", migration.short_id()))
        .because(who)
        .state("this command did nothing")
        .hint("Watch it with `pgrecast status`, or stop it there (Ctrl-C) and run the command again."))
}
