//! The current circumstances of a table that matter for a change: sequences that run out, subscribers, blocking
//! transactions, the rate of writes, disk space. Reads only.

use std::time::Duration;

use tokio_postgres::Client;

use crate::alter::LockMode;
use crate::catalog::Definition;
use crate::error::Result;
use crate::lock::holders;
use crate::name::{QualifiedName, sql};
use crate::plan::estimate::Estimate;
use crate::plan::order::Order;
use crate::plan::risk::{self, Risk};

/// From how many percent on a sequence counts as nearly exhausted.
const NEARLY_OUT: i32 = 50;

/// While a transaction older than this holds a conflicting lock, pgrecast does not request the lock.
const LONG: Duration = Duration::from_secs(1);

/// The risks of any change.
pub(super) async fn risks(client: &Client, original: &Definition) -> Result<Vec<Risk>> {
    let mut risks = Vec::new();
    let oid = original.table.oid;
    let table = original.table.name.shown();
    for row in client.query(&sql!("preview/list_sequences.sql").text(), &[&oid]).await? {
        let percent: i32 = row.try_get("percent")?;
        if percent >= NEARLY_OUT {
            let sequence = QualifiedName::new(
                row.try_get::<_, String>("schema_name")?,
                row.try_get::<_, String>("name")?,
            );
            risks.push(risk::sequence_exhaustion(&sequence, row.try_get("column_name")?, percent));
        }
    }
    let publications = client.query(&sql!("preview/list_publications.sql").text(), &[&oid]).await?;
    for row in publications {
        risks.push(risk::subscribers(&table, row.try_get("name")?));
    }
    for holder in holders::list(client, &[oid], LockMode::AccessExclusive.conflicts()).await? {
        if let Some(age) = holder.age.filter(|age| *age >= LONG && !holder.gives_way) {
            risks.push(risk::long_transaction(&table, &holder.shown(age)));
        }
    }
    Ok(risks)
}

/// The risks of a copy with this estimate.
pub(super) async fn risks_of_copy(
    client: &Client,
    original: &Definition,
    estimate: &Estimate,
) -> Result<Vec<Risk>> {
    let (oid, table) = (original.table.oid, original.table.name.shown());
    let needed = estimate.disk_bytes.high + estimate.wal_bytes.high;
    let disk = client.query_opt(&sql!("preview/read_disk.sql").text(), &[&oid]).await?;
    let path: Option<String> = disk.map(|row| row.try_get("path")).transpose()?.flatten();
    let space =
        path.and_then(|path| free_bytes(&path)).and_then(|free| risk::disk_space(&table, free, needed));
    let writes = client.query_one(&sql!("preview/read_writes.sql").text(), &[&oid]).await?;
    let heat = risk::hot_table(&table, writes.try_get::<_, i64>("rows")? as f64, writes.try_get("seconds")?);
    Ok(space.into_iter().chain(heat).collect())
}

/// The risks of copying rows in an order.
pub(super) async fn risks_of_order(
    client: &Client,
    original: &Definition,
    order: &Order,
) -> Result<Option<Risk>> {
    let Some(columns) = order.sorted_within() else { return Ok(None) };
    let mut fewest = (f64::INFINITY, String::new());
    for column in columns {
        let statement = sql!("preview/read_equal_rows.sql").text();
        let row = client.query_one(&statement, &[&original.table.oid, &column.as_str()]).await?;
        let share: f64 = row.try_get("share")?;
        if share * original.table.rows_estimated < fewest.0 {
            fewest = (share * original.table.rows_estimated, column.shown());
        }
    }
    Ok(risk::coarse_order(&original.table.name.shown(), &fewest.1, fewest.0))
}

/// The free bytes for users on the file system of this path; none if the path does not exist on this machine.
fn free_bytes(path: &str) -> Option<f64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail as f64 * found.f_frsize as f64)
}
