//! The server prints definitions under an empty `search_path`, with the schema of every name. They also run under an
//! empty one: a name without a schema then always means an object in `pg_catalog`.

use tokio_postgres::Client;

use crate::error::Result;
use crate::name::Literal;

/// Until the transaction ends, names without a schema are only searched in `pg_catalog`. Bodies of functions run under
/// the same path.
pub const EMPTY: &str = "set local search_path = ''; set local check_function_bodies = off";

/// The path of this session.
pub async fn current(client: &Client) -> Result<String> {
    Ok(client.query_one("show search_path", &[]).await?.try_get(0)?)
}

/// The statement that sets a path until the transaction ends.
#[must_use]
pub fn back_to(path: &str) -> String {
    format!("select pg_catalog.set_config('search_path', {}, true)", Literal(path))
}
