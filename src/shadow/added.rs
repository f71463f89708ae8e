//! Columns that the ALTER adds, and their values for existing rows. To find out, pgrecast adds the column to a scratch
//! table: if the server finds one value for all rows, it stores that value in the catalog.
//!
//! Run twice: the same result, in one transaction. Killed midway: the caller's transaction is rolled back.

use tokio_postgres::Client;

use crate::catalog::Column;
use crate::error::Result;
use crate::name::{Fragment, Ident, Literal, QualifiedName, sql};
use crate::plan::cast::assign;
use crate::plan::mapping::Given;

/// The values for existing rows of the columns that `after` has and `before` does not have.
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

/// The same after `statement`, which is then rolled back. `None` if the server does not accept the statement like this.
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
    // A value that is not volatile is stored for existing rows (pg_attribute.attmissingval). The base type is used
    // instead of a domain, because a domain with constraints would rewrite the table.
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
