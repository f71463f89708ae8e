//! Vacuums and analyzes the shadow: visibility map, hint bits and statistics, so that plans stay the same and the first
//! readers are not slower. Run twice: does it again. Killed midway: nothing is lost.

use tokio_postgres::Client;

use crate::error::Result;
use crate::state::TableChange;

/// Vacuums and analyzes.
pub async fn vacuum(client: &Client, change: &TableChange) -> Result<()> {
    client.batch_execute(&format!("vacuum (analyze) {}", change.shadow())).await?;
    Ok(())
}
