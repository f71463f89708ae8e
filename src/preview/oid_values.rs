//! Rows of other tables that store the table's oid, as audit tables do. After the swap that oid belongs to the former
//! table.
//!
//! Reads only, for at most a second.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::catalog::Definition;
use crate::error::Result;
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::risk::{self, Risk};

/// The time limit for all columns together. The remaining columns are reported without a number of rows.
const BUDGET: Duration = Duration::from_secs(1);

/// A risk for each column that contains the oid, or that could not be read in time.
pub(super) async fn risks(client: &Client, original: &Definition) -> Result<Vec<Risk>> {
    let rows = client.query(&sql!("preview/list_oid_columns.sql").text(), &[&original.table.oid]).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut risks = Vec::new();
    let start = Instant::now();
    client.batch_execute("begin; set local lock_timeout = '100ms'").await?;
    for row in rows {
        let table =
            QualifiedName::new(row.try_get::<_, String>("schema_name")?, row.try_get::<_, String>("name")?);
        let column = Ident::new(row.try_get::<_, String>("column_name")?);
        let value: u32 = row.try_get("value")?;
        let left = BUDGET.saturating_sub(start.elapsed()).as_millis();
        let count = if left == 0 { None } else { count(client, &table, &column, (value, left)).await? };
        if count != Some(0) {
            let type_name: String = row.try_get("type_name")?;
            risks.push(risk::oid_values(original, (&table, &column, &type_name), value, count));
        }
    }
    client.batch_execute("rollback").await?;
    Ok(risks)
}

/// The number of rows with this value; none if they cannot be read within the given time.
async fn count(
    client: &Client,
    table: &QualifiedName,
    column: &Ident,
    (value, milliseconds): (u32, u128),
) -> Result<Option<i64>> {
    client
        .batch_execute(&format!("savepoint pgrecast_count; set local statement_timeout = {milliseconds}"))
        .await?;
    let text = format!("select count(*) from {table} where {column}::pg_catalog.oid = {value}");
    let found = match client.query_one(&text, &[]).await {
        Ok(row) => Some(row.try_get(0)?),
        Err(error) if error.code().is_some() => None,
        Err(error) => return Err(error.into()),
    };
    client.batch_execute("rollback to savepoint pgrecast_count").await?;
    Ok(found)
}
