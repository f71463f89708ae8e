//! One run at a time: a session-level advisory lock per table, which ends with the session that has it.

use std::time::Duration;

use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::name::sql;
use crate::run::Run;
use crate::run::events::Note;
use crate::state::{Migration, TableChange};

/// First half of our advisory locks' keys: "pgrc".
const CLASS: i32 = 0x7067_7263;

/// How long to wait for the lease, which a killed run's session may hold for a moment more.
const LEASE: Duration = Duration::from_secs(3);

/// How long to wait for sessions of a former run that this role may not end: the server notices within
/// `client_connection_check_interval` that nobody is there any more.
const ORPHANS: Duration = Duration::from_secs(10);

/// Takes the lease for the tables of a migration, and sees to it that no backend of a former run is
/// still at work.
///
/// # Errors
/// When another run has it, naming its backend.
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

/// Makes sure, in the transaction that begins a migration, that no other one begins on the same table.
pub(super) async fn only_one(client: &Client, table: u32) -> Result<()> {
    let row = client
        .query_one("select pg_catalog.pg_try_advisory_xact_lock($1, $2)", &[&CLASS, &table.cast_signed()])
        .await?;
    let is_open = TableChange::is_open_on(client, table).await?;
    if row.try_get(0)? && !is_open {
        return Ok(());
    }
    client.batch_execute("rollback").await?;
    Err(Error::failed("another run has just begun to change this table").hint("Look at `pgrecast status`."))
}

/// Waits a moment for sessions of a former run, then ends them: they are ours, and one of them could
/// be copying a chunk. Says whether there were any.
///
/// # Errors
/// When they belong to a role whose sessions this one may not end, and do not end by themselves.
pub(super) async fn end_orphans(client: &Client, migration: &Migration) -> Result<bool> {
    let label = format!("pgrecast {} ", migration.short_id());
    let began = tokio::time::Instant::now();
    let mut found = false;
    loop {
        // A session may be ended by the role that it logged in as, which need not be the table's owner.
        client.batch_execute("begin; set local role none").await?;
        let row = client.query_one(&sql!("engine/end_orphans.sql").text(), &[&label, &found]).await;
        client.batch_execute("rollback").await?;
        let row = row?;
        if row.try_get::<_, i64>("sessions")? == 0 {
            return Ok(found);
        }
        if began.elapsed() >= ORPHANS {
            let who: String = row.try_get("who")?;
            return Err(Error::failed("sessions of a former run of this migration are still at work")
                .because(who)
                .state("this command did nothing")
                .hint("They end by themselves within seconds; end them with pg_terminate_backend if not."));
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
        None => "it was let go this moment".to_owned(),
    };
    Ok(Error::failed(format!("migration {} is already running elsewhere", migration.short_id()))
        .because(who)
        .state("this command did nothing")
        .hint("Watch it with `pgrecast status`; stop it there (Ctrl-C) before going on from here."))
}
