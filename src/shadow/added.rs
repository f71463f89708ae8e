//! Columns that the ALTER adds: what they give to rows that are there already. The server is asked, by
//! adding them to a scratch table: where it finds one value for all rows it keeps that value aside.
//!
//! Run twice: says the same, in one transaction. Killed midway: the caller's transaction never was.

use tokio_postgres::Client;

use crate::catalog::Column;
use crate::error::Result;
use crate::name::{Fragment, Ident, Literal, QualifiedName, sql};
use crate::plan::cast::assign;
use crate::plan::mapping::Given;

/// What the columns that `after` has and `before` had not give to rows that are there already.
pub(super) async fn list(
    client: &Client,
    scratch: &Ident,
    table: u32,
    before: &[Column],
    after: &[Column],
) -> Result<Vec<(Column, Given)>> {
    let mut list = Vec::new();
    for column in after.iter().filter(|column| before.iter().all(|known| known.number != column.number)) {
        let given =
            if column.is_generated { Given::Each } else { given(client, scratch, table, column).await? };
        list.push((column.clone(), given));
    }
    Ok(list)
}

/// The same after `statement`, which is then undone. `None` when the server does not accept it like this.
pub(super) async fn try_out(
    client: &Client,
    statement: &Fragment,
    scratch: &Ident,
    table: u32,
    before: &[Column],
) -> Result<Option<Vec<(Column, Given)>>> {
    client.batch_execute("savepoint pgrecast_added").await?;
    let added = match client.batch_execute(statement.as_str()).await {
        Ok(()) => Some(list(client, scratch, table, before, &Column::list(client, table).await?).await?),
        Err(_) => None,
    };
    client.batch_execute("rollback to savepoint pgrecast_added").await?;
    Ok(added)
}

async fn given(client: &Client, scratch: &Ident, table: u32, column: &Column) -> Result<Given> {
    if column.identity != crate::catalog::Identity::None {
        return Ok(Given::Each);
    }
    let default: Option<String> = client
        .query_one(&sql!("shadow/read_default.sql").text(), &[&table, &column.number])
        .await?
        .try_get("default_expression")?;
    let Some(default) = default else {
        return Ok(Given::Null);
    };
    // A value that is not volatile is kept aside for the rows that are there (pg_attribute.attmissingval).
    // The type under all domains: those with constraints would have the table rewritten instead.
    let probe = QualifiedName { schema: scratch.clone(), name: Ident::new("added") };
    client.batch_execute("savepoint pgrecast_given").await?;
    client.batch_execute(&format!("create table {probe} ()")).await?;
    let base = Ident::new(&column.base_schema);
    let add =
        format!("alter table {probe} add value {base}.{} default {default}", Ident::new(&column.base_name));
    let is_same = client.batch_execute(&add).await.is_ok()
        && client
            .query_one(&sql!("shadow/has_missing_value.sql").text(), &[&probe.to_string()])
            .await?
            .try_get("has_value")?;
    client.batch_execute("rollback to savepoint pgrecast_given").await?;
    if !is_same {
        return Ok(Given::Each);
    }
    let read = format!("select (({default})::{})::pg_catalog.text", column.type_name);
    let value: Option<String> = client.query_one(&read, &[]).await?.try_get(0)?;
    Ok(value.map_or(Given::Null, |value| {
        Given::Same(assign(&Fragment::trusted(Literal(&value).to_string()), column))
    }))
}
