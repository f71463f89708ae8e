//! Texts that the server wrote under an empty `search_path`, with every name's schema, are run under one: a name
//! that it left without a schema is `pg_catalog`'s then, whatever else is called so.

use tokio_postgres::Client;

use crate::error::Result;
use crate::name::Literal;

/// Until the transaction ends, no name is looked for outside of `pg_catalog`, also not in the bodies of functions,
/// which are run under another path.
pub const EMPTY: &str = "set local search_path = ''; set local check_function_bodies = off";

/// The path of this session.
pub async fn current(client: &Client) -> Result<String> {
    Ok(client.query_one("show search_path", &[]).await?.try_get(0)?)
}

/// The statement that goes back to a path, until the transaction ends.
#[must_use]
pub fn back_to(path: &str) -> String {
    format!("select pg_catalog.set_config('search_path', {}, true)", Literal(path))
}
