//! Columns that generated columns read, and that get another type: the server does not alter such a column. So the
//! first statement of a change runs on a table without generated columns, and the shadow is made like that one from the
//! beginning, with the generated columns in their places.

use tokio_postgres::Client;

use super::accept::not_accepted;
use super::layout;
use crate::alter::{ActionKind, AlterStatement};
use crate::catalog::{Column, Definition, OwnedSequence, Table};
use crate::error::{Error, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::shadow::Place;

/// What the shadow is made of instead of the original.
pub(super) struct Retyped {
    /// The table to be made like, under the original's other properties.
    pub(super) source: Definition,
    /// The columns in their order, generated ones among them.
    pub(super) template: QualifiedName,
    /// The columns with another type.
    pub(super) columns: Vec<Ident>,
}

/// Makes it, if the change begins with a statement that gives such columns another type and does nothing else.
///
/// # Errors
/// The server's, when it does not accept the statement.
pub(super) async fn make(
    client: &Client,
    original: &Definition,
    place: &Place,
    first: Option<&AlterStatement>,
) -> Result<Option<Retyped>> {
    let Some((statement, columns)) = first.and_then(|first| Some((first, retyped(first)?))) else {
        return Ok(None);
    };
    let names: Vec<&str> = columns.iter().map(Ident::as_str).collect();
    let oid = original.table.oid;
    let users = client.query(&sql!("shadow/list_column_triggers.sql").text(), &[&oid, &names]).await?;
    let mut is_read = false;
    for user in &users {
        is_read |= user.try_get::<_, bool>("is_generated")?;
    }
    if !is_read {
        return Ok(None);
    }
    let name = QualifiedName { schema: place.scratch.clone(), name: original.table.name.name.clone() };
    client
        .batch_execute(&format!(
            "create table {name} (like {} including defaults including constraints including identity \
             including storage including compression including comments)",
            original.table.name
        ))
        .await?;
    client.batch_execute(statement.sql(&name).as_str()).await.map_err(|error| {
        let error = Error::from(error);
        not_accepted(error, original, statement, |cause| {
            cause.replace(&name.schema.shown(), &original.table.name.schema.shown())
        })
    })?;
    let template = QualifiedName { schema: place.scratch.clone(), name: Ident::new("pgrecast_retyped") };
    layout::make(client, &template, (oid, &name), &[]).await?;
    let table = Table { name, ..original.table.clone() };
    Ok(Some(Retyped { source: Definition { table, ..original.clone() }, template, columns }))
}

/// The columns that a statement gives another type by their assignment casts, when it does nothing else.
fn retyped(statement: &AlterStatement) -> Option<Vec<Ident>> {
    let columns = statement.actions.iter().map(|action| match &action.kind {
        ActionKind::SetType { column, using: None } => Some(column.clone()),
        _ => None,
    });
    columns.collect()
}

/// The statements that ALTER TYPE runs for identity columns besides.
pub(super) async fn of_sequences(client: &Client, oid: u32, columns: &[Ident]) -> Result<Vec<String>> {
    let all = Column::list(client, oid).await?;
    let sequences = OwnedSequence::list(client, oid).await?;
    Ok(sequences
        .iter()
        .filter(|sequence| sequence.is_identity && columns.contains(&sequence.column))
        .filter_map(|sequence| {
            let column = all.iter().find(|column| column.name == sequence.column)?;
            Some(format!("alter sequence {} as {}", sequence.name, column.type_name))
        })
        .collect())
}

/// The shadow's columns as they would be with the types of the original.
pub(super) fn before(original: &Definition, now: &[Column], columns: &[Ident]) -> Vec<Column> {
    now.iter()
        .map(|now| match original.columns.iter().find(|old| old.name == now.name) {
            Some(old) if columns.contains(&old.name) => Column { number: now.number, ..old.clone() },
            _ => now.clone(),
        })
        .collect()
}
