//! Objects that name a column whose type changes, so that the server does not allow the change. A trigger is dropped
//! for that statement and created again: none has to fire on an empty table that only pgrecast uses.

use tokio_postgres::Client;

use crate::alter::{ActionKind, AlterStatement};
use crate::catalog::{Trigger, TriggerState};
use crate::error::{Code, Error, Result};
use crate::name::{Ident, Literal, QualifiedName, sql};

/// Drops the triggers that name such a column in UPDATE OF or WHEN. Returns the statements that create them again.
///
/// # Errors
/// [`Code::NotAccepted`] if a generated column reads the column.
pub(super) async fn take_off(
    client: &Client,
    oid: u32,
    shadow: &QualifiedName,
    statement: &AlterStatement,
) -> Result<Vec<String>> {
    let columns: Vec<&str> = statement
        .actions
        .iter()
        .filter_map(|action| match &action.kind {
            ActionKind::SetType { column, .. } => Some(column.as_str()),
            _ => None,
        })
        .collect();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for row in client.query(&sql!("shadow/list_column_triggers.sql").text(), &[&oid, &columns]).await? {
        let (column, name) =
            (row.try_get::<_, String>("column_name")?, row.try_get::<_, String>("user_name")?);
        if row.try_get("is_generated")? {
            return Err(is_read(&Ident::new(name), &Ident::new(column)));
        }
        names.push(Ident::new(name));
    }
    let mut again = Vec::new();
    for trigger in Trigger::list(client, oid).await?.into_iter().filter(|t| names.contains(&t.name)) {
        let Trigger { name, definition, state, comment } = trigger;
        client.batch_execute(&format!("drop trigger {name} on {shadow}")).await?;
        again.push(definition);
        if state != TriggerState::Origin {
            again.push(format!("alter table {shadow} {} trigger {name}", state.words()));
        }
        if let Some(comment) = comment {
            again.push(format!("comment on trigger {name} on {shadow} is {}", Literal(&comment)));
        }
    }
    Ok(again)
}

fn is_read(generated: &Ident, column: &Ident) -> Error {
    let message = format!(
        "the type of column {} cannot be changed: generated column {} reads it",
        column.shown(),
        generated.shown()
    );
    Error::refused(Code::NotAccepted, message).about(generated.shown()).state("nothing was changed").hint(format!(
        "Drop {0} and add it again in the same change: --alter 'drop column {0}', then the new type, then --alter 'add \
         column {0} .. generated always as (..) stored'. It is then the last column; --columns changes the order.",
        generated.shown()
    ))
}
