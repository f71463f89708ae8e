//! Columns that change their type although a generated column reads them, which the server does not allow. So the first
//! statement of the change runs on a table without generated columns, and the shadow is created like that table, with
//! the generated columns in their places.

use tokio_postgres::Client;

use super::accept::not_accepted;
use super::layout;
use crate::alter::{ActionKind, AlterStatement};
use crate::catalog::{Column, Definition, OwnedSequence, Table};
use crate::error::{Error, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::shadow::Place;

/// The tables from which the shadow is created instead of the original.
pub(super) struct Retyped {
    /// The table to copy columns from, with the other properties of the original.
    pub(super) source: Definition,
    /// A table with all columns in their order, including the generated ones.
    pub(super) template: QualifiedName,
    /// The columns with another type.
    pub(super) columns: Vec<Ident>,
}

/// Creates these tables if the first statement of the change only changes types, and that of such a column.
///
/// # Errors
/// [`crate::error::Code::NotAccepted`] if the server does not accept the statement.
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

/// The columns whose type a statement changes without USING, if it does nothing else.
fn retyped(statement: &AlterStatement) -> Option<Vec<Ident>> {
    let columns = statement.actions.iter().map(|action| match &action.kind {
        ActionKind::SetType { column, using: None } => Some(column.clone()),
        _ => None,
    });
    columns.collect()
}

/// The statements that change the types of identity sequences, as ALTER TYPE does.
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

/// The columns of the shadow with the types that they had in the original.
pub(super) fn before(original: &Definition, now: &[Column], columns: &[Ident]) -> Vec<Column> {
    now.iter()
        .map(|now| match original.columns.iter().find(|old| old.name == now.name) {
            Some(old) if columns.contains(&old.name) => Column { number: now.number, ..old.clone() },
            _ => now.clone(),
        })
        .collect()
}
