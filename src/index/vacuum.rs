//! Vacuum and analyze the shadow: visibility map, hint bits and statistics, so that plans do not flip
//! and no reader pays for a cold start. Run twice: does it again. Killed midway: nothing is lost.

use tokio_postgres::Client;

use crate::error::Result;
use crate::state::TableChange;

/// Does it.
pub async fn vacuum(client: &Client, change: &TableChange) -> Result<()> {
    client.batch_execute(&format!("vacuum (analyze) {}", change.shadow())).await?;
    Ok(())
}
