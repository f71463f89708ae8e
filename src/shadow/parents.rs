//! Tables that new foreign keys of the ALTER reference. On the empty shadow these keys reference stand-ins. Otherwise
//! the real tables would be locked against writes until the shadow is committed.
//!
//! Run twice: the caller's schema is new each time. Killed midway: the caller's transaction is rolled back.

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::alter::{Action, Alter, TableRef};
use crate::catalog::{Definition, find_table};
use crate::error::{Code, Error, Result};
use crate::name::{QualifiedName, sql};
use crate::plan::shadow::Place;

/// The tables that new foreign keys reference, as the user wrote them, each with its stand-in.
#[derive(Debug, Default)]
pub(crate) struct Parents {
    stand_ins: Vec<(TableRef, QualifiedName)>,
    real: HashMap<QualifiedName, QualifiedName>,
}

impl Parents {
    /// The stand-in for the table that the user wrote.
    #[must_use]
    pub(crate) fn stand_in(&self, written: &TableRef) -> Option<QualifiedName> {
        self.stand_ins.iter().find(|(table, _)| table == written).map(|(_, stand_in)| stand_in.clone())
    }

    /// The real tables, by the names of their stand-ins.
    #[must_use]
    pub(crate) fn real(&self) -> &HashMap<QualifiedName, QualifiedName> {
        &self.real
    }

    /// Replaces stand-ins by the real tables in a message of the server.
    #[must_use]
    pub(crate) fn in_words(&self, message: &str) -> String {
        self.real.iter().fold(message.to_owned(), |message, (stand_in, real)| {
            message.replace(&stand_in.name.to_string(), &real.name.to_string())
        })
    }
}

/// Creates stand-ins with the columns and keys of the tables that new foreign keys reference. If such a table does not
/// exist, the server will refuse the ALTER.
///
/// # Errors
/// [`crate::error::Kind::Refused`] if the table's owner may not reference one of them.
pub(crate) async fn stand_in(
    client: &Client,
    original: &Definition,
    place: &Place,
    alter: &Alter,
) -> Result<Parents> {
    let mut parents = Parents::default();
    for (_, written) in alter.actions().flat_map(Action::references) {
        let Some(oid) = find_table(client, &written.to_string()).await? else { continue };
        if oid == original.table.oid {
            parents.stand_ins.push((written, place.shadow.clone()));
            continue;
        }
        let owner = original.table.owner.as_str();
        let Some(row) = client.query_opt(&sql!("shadow/find_parent.sql").text(), &[&oid, &owner]).await?
        else {
            continue;
        };
        let real = QualifiedName::new(
            row.try_get::<_, String>("schema_name")?,
            row.try_get::<_, String>("table_name")?,
        );
        if !row.try_get::<_, bool>("may_reference")? {
            let message = format!("the table's owner may not reference {}", real.shown());
            return Err(Error::refused(Code::Privilege, message)
                .about(real.shown())
                .state("nothing was changed")
                .hint(format!("Run: grant references on table {real} to {};", original.table.owner)));
        }
        let stand_in = place.parent(oid);
        if !parents.real.contains_key(&stand_in) {
            let persistence = if row.try_get("is_unlogged")? { "unlogged " } else { "" };
            let mut parts: Vec<String> = row.try_get("columns")?;
            parts.extend(row.try_get::<_, Vec<String>>("keys")?);
            client
                .batch_execute(&format!("create {persistence}table {stand_in} ({})", parts.join(", ")))
                .await?;
            parents.real.insert(stand_in.clone(), real);
        }
        parents.stand_ins.push((written, stand_in));
    }
    Ok(parents)
}
