//! Parts of the table's definition that depend on its own oid, such as `'t'::regclass` in a default or `tableoid` in a
//! generated column. The new table has another oid, and LIKE copies the constant unchanged.
//!
//! Run twice: sets the same defaults. Killed midway: the caller's transaction is rolled back.

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::alter::redirect;
use crate::catalog::Definition;
use crate::db::search_path;
use crate::error::{Code, Error, Result};
use crate::name::{Ident, QualifiedName, sql};

/// Changes the defaults of the shadow that name the original so that they name the shadow, the table after the swap.
///
/// # Errors
/// [`Code::NamesItself`] if anything other than a default depends on the oid: in the new table it could give another
/// result for the same row.
pub(super) async fn replace(client: &Client, original: &Definition, shadow: &QualifiedName) -> Result<()> {
    let path = search_path::current(client).await?;
    client.batch_execute(search_path::EMPTY).await?;
    let rows = client.query(&sql!("shadow/list_oid_uses.sql").text(), &[&original.table.oid]).await?;
    let places = HashMap::from([(original.table.name.clone(), shadow.clone())]);
    for row in rows {
        let (kind, name): (String, String) = (row.try_get("kind")?, row.try_get("name")?);
        if kind != "default" {
            client.batch_execute(&search_path::back_to(&path)).await?;
            let table = original.table.name.shown();
            let name =
                if kind == "index" { name } else { format!("{} of {table}", Ident::new(name).shown()) };
            let message = format!(
                "{kind} {name} reads tableoid or names the table by a constant, and the new table has another oid"
            );
            return Err(Error::refused(Code::NamesItself, message)
                .about(format!("{kind} {name}"))
                .state("nothing was changed")
                .hint("Drop it first, and create it again after the swap."));
        }
        let definition: String = row.try_get("definition")?;
        let set = format!(
            "alter table {shadow} alter column {} set default {}",
            Ident::new(name),
            redirect(&definition, &places)
        );
        client.batch_execute(&set).await?;
    }
    client.batch_execute(&search_path::back_to(&path)).await?;
    Ok(())
}
