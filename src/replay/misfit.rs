//! Finds a changed row that does not fit the other shape, by bisection, without writing anything.
//!
//! Reads only, in its own snapshot. Run twice: the same result.

use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::name::sql;
use crate::pair::Pair;

/// The key of one changed row that does not fit, in readable form. `None`: each row fits separately, or the cause
/// cannot be found here.
pub(super) async fn find(client: &Client, pair: &Pair) -> Result<Option<String>> {
    client
        .batch_execute(
            "begin isolation level repeatable read; set local synchronize_seqscans = off; \
             set local max_parallel_workers_per_gather = 0",
        )
        .await?;
    let found = search(client, pair).await;
    client.batch_execute("rollback").await?;
    found
}

async fn search(client: &Client, pair: &Pair) -> Result<Option<String>> {
    let all: i64 =
        client.query_one(&pair.fill(sql!("replay/list_pending.sql")).text(), &[]).await?.try_get("keys")?;
    let (mut first, mut count) = (1i64, all);
    if fits(client, pair, first, count).await? {
        return Ok(None);
    }
    while count > 1 {
        let half = count / 2;
        if fits(client, pair, first, half).await? {
            first += half;
            count -= half;
        } else {
            count = half;
        }
    }
    let shown = client.query_opt(&pair.fill(sql!("replay/show_key.sql")).text(), &[&first]).await?;
    Ok(shown.map(|row| row.try_get("key")).transpose()?)
}

/// Whether all of these keys fit.
async fn fits(client: &Client, pair: &Pair, first: i64, count: i64) -> Result<bool> {
    for statement in [sql!("replay/probe_changed.sql"), sql!("replay/probe_new.sql")] {
        client.batch_execute("savepoint pgrecast_probe").await?;
        let probed = client.query_one(&pair.fill(statement).text(), &[&first, &count]).await;
        client.batch_execute("rollback to savepoint pgrecast_probe").await?;
        match probed.map_err(Error::from) {
            Ok(_) => {}
            Err(error) if error.sqlstate.as_deref().is_some_and(|code| code.starts_with("22")) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
