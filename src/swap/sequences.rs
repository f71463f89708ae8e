//! Sequences in the swap: reads their values, and sets those of the incoming table.

use tokio_postgres::Client;

use super::exchange::Exchange;
use crate::error::Result;
use crate::name::sql;
use crate::plan::sequence::SequenceMove;

/// Locks each sequence, so that nobody takes a value, and reads its current value.
pub(super) async fn take(client: &Client, sequences: &[SequenceMove]) -> Result<Vec<(i64, bool)>> {
    let mut values = Vec::with_capacity(sequences.len());
    for step in sequences {
        let (SequenceMove::Owner { sequence, .. } | SequenceMove::Value { from: sequence, .. }) = step;
        // Sets the current setting again, only for the lock: LOCK TABLE does not work on sequences.
        client.batch_execute(&format!("alter sequence {} cache {}", sequence.name, sequence.cache)).await?;
        let row =
            client.query_one(&format!("select last_value, is_called from {}", sequence.name), &[]).await?;
        values.push((row.try_get(0)?, row.try_get(1)?));
    }
    Ok(values)
}

/// Sets the identity sequences of the incoming table to the values of the outgoing ones. It leaves a gap if a session
/// may have looked one of these up by its name, and will take a value from it after the commit.
pub(super) async fn set_identities(
    client: &Client,
    exchange: &Exchange,
    values: &[(i64, bool)],
) -> Result<()> {
    for (step, (last_value, is_called)) in exchange.sequences.iter().zip(values) {
        if let SequenceMove::Value { to, only_forward, .. } = step {
            let statement = sql!("swap/set_identity.sql").text();
            client.execute(&statement, &[&to.oid, last_value, is_called, only_forward]).await?;
        }
    }
    Ok(())
}
