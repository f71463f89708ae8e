//! Materialized views that read the table: new ones on the shadow are built before the swap, with their indexes, and
//! exchanged in it. Before a swap back, the retired ones are refreshed while nobody reads them. A materialized view
//! that is not populated stays so.
//!
//! Run twice: each build is recorded in its own transaction, and a refresh can be repeated. Killed midway: continues
//! with the next one.

use tokio_postgres::Client;

use crate::catalog::Fingerprint;
use crate::db::search_path;
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::name::{Ident, QualifiedName};
use crate::pair::Direction;
use crate::plan::{Kind as DependentKind, Side};
use crate::run::events::{Detail, Unit};
use crate::run::{Run, definition};
use crate::state::{StoredDependent, TableChange, load_dependents, mark_made};

/// Builds the materialized views of the new shape that do not exist yet, and returns their number.
///
/// # Errors
/// [`Kind::NeedsPerson`] if a query fails on the existing rows.
pub async fn build(run: &Run, change: &TableChange) -> Result<usize> {
    let client = &run.control;
    let all = list(client, change).await?;
    let digest = Fingerprint::prepare(client).await?;
    for (n, stored) in all.iter().enumerate().filter(|(_, stored)| !stored.is_made) {
        let detail = Detail::Object(stored.dependent.name.shown());
        run.events.progressed(n as i64, all.len() as i64, Unit::MaterializedViews, detail);
        // Record our own change of the objects that refer to the shadow, if nobody else has changed them.
        let new = change.shadow_oid.ok_or_else(|| Error::failed("there is no shadow to read"))?;
        let is_known = definition::is_known(client, &digest, change, new).await?;
        let path = search_path::current(client).await?;
        let (empty, back) = (search_path::EMPTY, search_path::back_to(&path));
        let text = format!("begin; {empty}; {}; {back}", stored.dependent.create.join(";"));
        execute(client, stored, &text).await?;
        mark_made(client, stored.id).await?;
        if is_known {
            definition::record(client, &digest, change, new).await?;
        }
        client.batch_execute("commit").await?;
        Failpoint::MaterializedViewMade.pass();
    }
    fill(client, change, Direction::Forward).await?;
    Ok(all.len())
}

/// Populates those that replace a populated one: forward only the empty ones, in a rollback all, because they are
/// outdated. It uses the session's `search_path`, as a refresh by the application does.
///
/// # Errors
/// As for [`build`].
pub async fn fill(client: &Client, change: &TableChange, direction: Direction) -> Result<()> {
    let (schema, is_stale) = match direction {
        Direction::Forward => (&change.shadow_schema, false),
        Direction::Reverse => (&change.retired_schema, true),
    };
    for stored in list(client, change).await? {
        let in_place = &stored.dependent.table;
        let aside = in_place.in_schema(schema);
        let is_empty = async |name: &QualifiedName| -> Result<bool> {
            let text =
                "select not c.relispopulated from pg_catalog.pg_class c where c.oid = $1::text::regclass";
            Ok(client.query_one(text, &[&name.to_string()]).await?.try_get(0)?)
        };
        if !is_empty(in_place).await? && (is_stale || is_empty(&aside).await?) {
            execute(client, &stored, &format!("refresh materialized view {aside}; analyze {aside}")).await?;
        }
    }
    Ok(())
}

/// The statements that drop ours: a materialized view that reads another one comes first.
pub async fn drop_statements(client: &Client, change: &TableChange) -> Result<Vec<String>> {
    let all = list(client, change).await?;
    let drop = |schema: &Ident, name: &Ident| {
        let name = QualifiedName { schema: schema.clone(), name: name.clone() };
        format!("drop materialized view if exists {name}")
    };
    Ok(all
        .iter()
        .rev()
        .flat_map(|stored| {
            [&change.shadow_schema, &change.retired_schema].map(|schema| drop(schema, &stored.dependent.name))
        })
        .collect())
}

async fn list(client: &Client, change: &TableChange) -> Result<Vec<StoredDependent>> {
    let mut all = load_dependents(client, change.id, Side::New).await?;
    all.retain(|stored| stored.dependent.kind == DependentKind::MaterializedView);
    Ok(all)
}

async fn execute(client: &Client, stored: &StoredDependent, text: &str) -> Result<()> {
    if let Err(error) = client.batch_execute(text).await {
        let error = Error::from(error);
        if error.kind == Kind::ConnectionLost {
            return Err(error);
        }
        client.batch_execute("rollback").await?;
        let is_of_query = error.kind == Kind::Failed;
        let error =
            error.context(format!("materialized view {} could not be built", stored.dependent.table.shown()));
        return Err(if is_of_query { error.with_kind(Kind::NeedsPerson) } else { error }
            .hint("Its query fails on the existing rows. Correct them, and run the same command again."));
    }
    Ok(())
}
