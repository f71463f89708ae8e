//! What is going on around a table right now that a change has to do with: sequences that run out, subscribers,
//! transactions in the way. Reads only.

use std::time::Duration;

use tokio_postgres::Client;

use super::holders;
use crate::alter::LockMode;
use crate::catalog::Definition;
use crate::error::Result;
use crate::name::{QualifiedName, sql};
use crate::plan::risk::{self, Risk};

/// From when on a sequence is said to run out, in percent.
const NEARLY_OUT: i32 = 50;

/// A transaction older than this is not waited for: locks are not even asked for while it lasts.
const LONG: Duration = Duration::from_secs(1);

/// The risks that come from there.
pub async fn risks(client: &Client, original: &Definition) -> Result<Vec<Risk>> {
    let mut risks = Vec::new();
    let oid = original.table.oid;
    let table = original.table.name.shown();
    for row in client.query(&sql!("risk/list_sequences.sql").text(), &[&oid]).await? {
        let percent: i32 = row.try_get("percent")?;
        if percent >= NEARLY_OUT {
            let sequence = QualifiedName::new(
                row.try_get::<_, String>("schema_name")?,
                row.try_get::<_, String>("name")?,
            );
            risks.push(risk::sequence_exhaustion(&sequence, row.try_get("column_name")?, percent));
        }
    }
    let publications = client.query(&sql!("risk/list_publications.sql").text(), &[&oid]).await?;
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
