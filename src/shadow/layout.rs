//! Columns in another order: while the shadow is created, it inherits from a template whose columns are in the new
//! order, and so gets that order. Also the size of rows for an order.

use tokio_postgres::Client;

use crate::catalog::{Column, Definition};
use crate::error::{Code, Error, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::Blueprint;
use crate::plan::layout::{Field, Layout};
use crate::plan::shadow::Place;

/// Creates the template, in the open transaction of `client`.
///
/// # Errors
/// [`crate::error::Kind::Usage`] for a column that does not exist or is named twice; [`crate::error::Kind::Refused`] if
/// an object uses columns by their position.
pub(super) async fn template(
    client: &Client,
    original: &Definition,
    place: &Place,
    first: &[Ident],
) -> Result<QualifiedName> {
    expect_columns(&original.columns, first)
        .map_err(|why| Error::usage(format!("--columns: {why}")).state("nothing was changed"))?;
    let users = client.query(&sql!("shadow/list_users_by_place.sql").text(), &[&original.table.oid]).await?;
    if let Some(user) = users.first() {
        let user: String = user.try_get("user_name")?;
        let message = format!("--columns: {user} uses the columns by their position");
        return Err(Error::refused(Code::ColumnsByPlace, message)
            .because("it uses the row type of the table, or a list of column aliases")
            .about(user)
            .state("nothing was changed")
            .hint("Drop it first, and create it again after the swap."));
    }
    let template = QualifiedName { schema: place.scratch.clone(), name: Ident::new("pgrecast_columns") };
    make(client, &template, (original.table.oid, &original.table.name), first).await?;
    Ok(template)
}

/// Creates a template with the columns of the table with this oid, and their types in the table with that name.
pub(super) async fn make(
    client: &Client,
    template: &QualifiedName,
    (table, types): (u32, &QualifiedName),
    first: &[Ident],
) -> Result<()> {
    let names: Vec<&str> = first.iter().map(Ident::as_str).collect();
    let rows = client
        .query(&sql!("shadow/list_column_words.sql").text(), &[&table, &names, &types.to_string()])
        .await?;
    let mut words = Vec::new();
    let mut settings = Vec::new();
    for row in rows {
        words.push(row.try_get::<_, String>("words")?);
        settings.extend(row.try_get::<_, Option<String>>("storage")?);
    }
    client.batch_execute(&format!("create table {template} ({})", words.join(", "))).await?;
    if !settings.is_empty() {
        client.batch_execute(&format!("alter table {template} {}", settings.join(", "))).await?;
    }
    Ok(())
}

fn expect_columns(columns: &[Column], first: &[Ident]) -> std::result::Result<(), String> {
    for (n, name) in first.iter().enumerate() {
        if first[..n].contains(name) {
            return Err(format!("column {} is named twice", name.shown()));
        }
        if !columns.iter().any(|column| column.name == *name) {
            return Err(format!("the table has no column {}", name.shown()));
        }
    }
    Ok(())
}

/// The size of a row, now and in the new shadow.
pub(crate) async fn read(client: &Client, original: &Definition, blueprint: &Blueprint) -> Result<Layout> {
    // The planner's default for values of unknown width.
    const UNKNOWN: f64 = 32.0;
    let known = client.query(&sql!("shadow/list_average_widths.sql").text(), &[&original.table.oid]).await?;
    let mut widths = std::collections::HashMap::new();
    for row in known {
        let width: (f64, f64) = (row.try_get("width")?, row.try_get("nulls")?);
        widths.insert(Ident::new(row.try_get::<_, String>("name")?), width);
    }
    let rows = client.query(&sql!("shadow/list_widths.sql").text(), &[&blueprint.new.table.oid]).await?;
    let mut fields = Vec::new();
    for row in rows {
        let name = Ident::new(row.try_get::<_, String>("name")?);
        let filled = blueprint.forward.columns().iter().find(|output| output.name == name);
        let old = match filled {
            Some(output) => output.from.clone(),
            None => original.columns.iter().map(|column| &column.name).find(|old| **old == name).cloned(),
        };
        let (width, nulls) = old.as_ref().and_then(|old| widths.get(old)).copied().unwrap_or((UNKNOWN, 0.0));
        let length: Option<i32> = row.try_get("length")?;
        fields.push(Field {
            old,
            is_fixed: length.is_some_and(|length| length > 0),
            width: length.filter(|length| *length > 0).map_or(width, f64::from),
            alignment: row.try_get::<_, i32>("alignment")?.unsigned_abs(),
            nulls,
        });
    }
    Ok(Layout::of(&fields, &original.columns))
}
