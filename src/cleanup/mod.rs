//! Drops what pgrecast created: in `abort` the shadow, after a swap the retired table, after a rollback the new table;
//! and always the log, key set, functions, triggers and schemas.
//!
//! Never with CASCADE: if an object of others depends on our tables, the server names it, and the DROP fails.
//! Run twice: drops what is left. Killed midway: the next run continues.

use tokio_postgres::Client;

use crate::alter::LockMode;
use crate::capture::segment;
use crate::capture::trigger_names;
use crate::error::{Error, Result};
use crate::lock::{LockPolicy, Locking, Request};
use crate::name::{QualifiedName, sql};
use crate::run::Run;
use crate::run::events::Purpose;
use crate::state::segment as records;
use crate::state::{self, Migration, TableChange};
use crate::swap::finish::Guard;
use crate::swap::matviews;

/// Drops our triggers from the tables that applications use, also from a renamed one, each under a short lock.
pub async fn triggers(
    run: &Run,
    migration: &Migration,
    change: &TableChange,
    policy: LockPolicy,
) -> Result<()> {
    let client = &run.control;
    let own = ["capture_forward", "capture_reverse", "truncate_forward", "truncate_reverse"]
        .map(|what| change.own(what).name.as_str().to_owned());
    let statement = sql!("cleanup/list_captured.sql").text();
    let schema = state::schema();
    for row in client.query(&statement, &[&schema.as_str(), &own.as_slice()]).await? {
        let table = QualifiedName::new(
            row.try_get::<_, String>("schema_name")?,
            row.try_get::<_, String>("table_name")?,
        );
        let drops = trigger_names().map(|trigger| format!("drop trigger if exists {trigger} on {table}"));
        drop_under_lock(run, change, (&table, row.try_get("oid")?), &drops, policy).await?;
    }
    if let Some(xid) = &migration.swap_xid {
        for guard in Guard::list(client, xid).await? {
            let drop = [guard.drop_statement()];
            drop_under_lock(run, change, (&guard.table, guard.oid), &drop, policy).await?;
        }
    }
    Ok(())
}

async fn drop_under_lock(
    run: &Run,
    change: &TableChange,
    (table, oid): (&QualifiedName, u32),
    statements: &[String],
    policy: LockPolicy,
) -> Result<()> {
    let mut locking = Locking::new(run, &[change.id], Purpose::Removal, policy);
    locking.acquire(&Request::table(table, oid), LockMode::AccessExclusive).await?;
    Ok(run.control.batch_execute(&format!("{}; commit", statements.join("; "))).await?)
}

/// Drops our tables, functions and schemas, in the open transaction of `client`.
pub async fn objects(client: &Client, change: &TableChange) -> Result<()> {
    let mut statements = matviews::drop_statements(client, change).await?;
    for table in [change.shadow(), change.retired()] {
        // Only in our own schemas: the application's table has the same name.
        statements.push(format!("drop table if exists {table}"));
    }
    for (store, number) in records::list_all(client, change.id).await? {
        statements.push(format!("drop table if exists {}", segment::name(&store, number)));
    }
    records::remove_all(client, change.id).await?;
    for direction in ["forward", "reverse"] {
        for table in ["log", "keys", "held"] {
            statements.push(format!("drop table if exists {}", change.own(&format!("{table}_{direction}"))));
        }
        for function in ["capture", "truncate"] {
            statements.push(format!(
                "drop function if exists {}()",
                change.own(&format!("{function}_{direction}"))
            ));
        }
    }
    statements.push(format!("drop table if exists {}", change.own("scratch")));
    for schema in [&change.shadow_schema, &change.retired_schema] {
        statements.push(format!("drop schema if exists {schema}"));
    }
    for statement in statements {
        client.batch_execute(&statement).await.map_err(|error| {
            Error::from(error)
                .context(format!("could not drop an object of pgrecast: {statement}"))
                .state("the application's table is complete and has no triggers of pgrecast")
                .hint("Move or drop the object that depends on it, then run the same command again.")
        })?;
    }
    Ok(())
}
