//! Sequences at the swap: where they stand, and where those of the incoming table go on.

use tokio_postgres::Client;

use super::exchange::Exchange;
use crate::error::Result;
use crate::name::sql;
use crate::plan::sequence::SequenceMove;

/// Takes each sequence's own lock, so that nobody takes a value, and reads where it stands.
pub(super) async fn take(client: &Client, sequences: &[SequenceMove]) -> Result<Vec<(i64, bool)>> {
    let mut values = Vec::with_capacity(sequences.len());
    for step in sequences {
        let (SequenceMove::Owner { sequence, .. } | SequenceMove::Value { from: sequence, .. }) = step;
        // Sets what is set already: for its lock, which LOCK TABLE does not give on sequences.
        client.batch_execute(&format!("alter sequence {} cache {}", sequence.name, sequence.cache)).await?;
        let row =
            client.query_one(&format!("select last_value, is_called from {}", sequence.name), &[]).await?;
        values.push((row.try_get(0)?, row.try_get(1)?));
    }
    Ok(values)
}

/// Lets the identity sequences of the incoming table go on where the outgoing ones stand; with a gap where
/// somebody waits for one of these and will take a value of it after the commit.
pub(super) async fn set_identities(
    client: &Client,
    exchange: &Exchange,
    values: &[(i64, bool)],
) -> Result<()> {
    for (step, (last_value, is_called)) in exchange.sequences.iter().zip(values) {
        if let SequenceMove::Value { from, to, only_forward } = step {
            client
                .execute(
                    &sql!("swap/set_identity.sql").text(),
                    &[&to.oid, &from.oid, last_value, is_called, only_forward],
                )
                .await?;
        }
    }
    Ok(())
}
