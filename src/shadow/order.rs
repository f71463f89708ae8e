//! `--order-by`: finds the index for it.

use tokio_postgres::Client;

use crate::error::{Code, Error, Result};
use crate::name::{Ident, sql};
use crate::plan::order::{Order, OrderIndex};

/// Finds the requested order.
///
/// # Errors
/// Refused, if there is no index for it.
pub async fn find_order(client: &Client, table: u32, written: &[Ident]) -> Result<Order> {
    let rows = client.query(&sql!("shadow/list_orders.sql").text(), &[&table]).await?;
    let indexes = rows
        .iter()
        .map(|row| {
            let names: Vec<String> = row.try_get("columns")?;
            let types: Vec<String> = row.try_get("types")?;
            Ok(OrderIndex {
                name: Ident::new(row.try_get::<_, String>("name")?),
                is_unique: row.try_get("is_unique")?,
                columns: names.into_iter().map(Ident::new).zip(types).collect(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Order::find(&indexes, written).map_err(|why| {
        let names: Vec<String> = written.iter().map(Ident::shown).collect();
        let message = format!("--order-by {}: {why}", names.join(", "));
        Error::refused(Code::NoOrder, message).state("nothing was changed")
    })
}
