//! Takes away what is ours: after `abort` the shadow, after a swap the retired table, after a rollback
//! the table that was new; and always log, key set, functions, triggers and schemas.
//!
//! Never with CASCADE: what somebody else has hung on our tables is named by the server and stays.
//! Run twice: takes away what is left. Killed midway: so does the next run.

use tokio_postgres::Client;

use crate::alter::LockMode;
use crate::capture::segment;
use crate::capture::trigger_names;
use crate::error::{Error, Result};
use crate::lock::{LockPolicy, Locking, Purpose, Request};
use crate::name::{Ident, QualifiedName, sql};
use crate::run::events::Watch;
use crate::state::TableChange;
use crate::swap::matviews;

/// Takes our triggers off the tables that applications use, also off one that was renamed, under a short lock of its own.
pub async fn triggers(
    client: &Client,
    change: &TableChange,
    policy: LockPolicy,
    watch: &Watch,
) -> Result<()> {
    let own = ["capture_forward", "capture_reverse", "truncate_forward", "truncate_reverse"]
        .map(|what| change.own(what).name.as_str().to_owned());
    let statement = sql!("cleanup/list_captured.sql").text();
    for row in client.query(&statement, &[&own.as_slice(), &change.migration_id]).await? {
        let table = QualifiedName::new(
            row.try_get::<_, String>("schema_name")?,
            row.try_get::<_, String>("table_name")?,
        );
        let oid: u32 = row.try_get("oid")?;
        let mut locking = Locking::new(client, change.migration_id, Purpose::Removal, policy, watch);
        locking.acquire(&Request::table(&table, oid), LockMode::AccessExclusive).await?;
        let mut text = String::new();
        for trigger in trigger_names() {
            text.push_str(&format!("drop trigger if exists {trigger} on {table};"));
        }
        client
            .batch_execute(&format!("{text} drop trigger if exists pgrecast_guard on {table}; commit"))
            .await?;
    }
    Ok(())
}

/// Drops our tables, functions and schemas, in the transaction that is open on `client`.
pub async fn objects(client: &Client, change: &TableChange) -> Result<()> {
    let mut statements = matviews::drop_statements(client, change).await?;
    for table in [change.shadow(), change.retired()] {
        // Only in our own schemas: the name is also that of the application's table.
        statements.push(format!("drop table if exists {table}"));
    }
    for row in client.query(&sql!("capture/list_all.sql").text(), &[&change.id]).await? {
        let store = Ident::new(row.try_get::<_, String>("store")?);
        let parent = QualifiedName { schema: Ident::new("pgrecast"), name: store };
        statements.push(format!("drop table if exists {}", segment::name(&parent, row.try_get("number")?)));
    }
    statements.push(format!("delete from pgrecast.segment where table_change_id = {}", change.id));
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
                .context(format!("could not take away what is ours: {statement}"))
                .state("the application's table is complete and free of our triggers")
                .hint("Move away what depends on it, then run the same command again.")
        })?;
    }
    Ok(())
}
