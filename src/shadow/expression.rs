//! Expressions of the user. They are evaluated each time a row is copied or replayed, so they must always return the
//! same value. The server parses each as a view over the shadow; the dependencies of the view show what it uses.

use tokio_postgres::Client;

use crate::catalog::{Definition, find_table};
use crate::error::{Code, Error, Result};
use crate::name::{Fragment, Ident, QualifiedName, sql};
use crate::plan::shadow::Place;

/// Checks that a USING expression returns the same value each time a row is copied or replayed. Returns whether it
/// reads other columns than its own.
pub(super) async fn check_using(client: &Client, place: &Place, column: &Ident, using: &str) -> Result<bool> {
    client.batch_execute("savepoint pgrecast_using").await?;
    // If the server does not accept it, the ALTER will report the error.
    let looked_at = match view_of(client, place, using).await {
        Ok(oid) => {
            let reads_others = sql!("shadow/reads_other_columns.sql").text();
            let row = client.query_one(&reads_others, &[&oid, &column.as_str()]).await?;
            Some((row.try_get("mixed")?, volatile_parts(client, oid, using).await?))
        }
        Err(_) => None,
    };
    client.batch_execute("rollback to savepoint pgrecast_using").await?;
    let Some((is_mixed, functions)) = looked_at else { return Ok(false) };
    if functions.is_empty() {
        return Ok(is_mixed);
    }
    Err(unsteady(&format!("the expression for column {}", column.shown()), &functions)
        .hint("A row is converted when it is copied, and again when it changes: use only constants and columns of the row."))
}

/// Checks that the condition returns the same value each time a row is copied or replayed.
pub(super) async fn check_filter(
    client: &Client,
    original: &Definition,
    place: &Place,
    filter: &Fragment,
) -> Result<()> {
    if let Some(key) = original.foreign_keys_in().next() {
        let message = "--where is not possible on a table that foreign keys reference";
        return Err(Error::refused(Code::WhereForeignKeys, message)
            .about(key.name.shown())
            .because(format!(
                "{} of {} may reference rows that are not kept",
                key.name.shown(),
                key.child.shown()
            ))
            .state("nothing was changed")
            .hint("Drop these keys first, or delete the rows in small batches."));
    }
    client.batch_execute("savepoint pgrecast_using").await?;
    // Not a cast to boolean, which would also accept a number.
    let oid =
        view_of(client, place, &format!("case when ({filter}) then true end")).await.map_err(|error| {
            error
                .context(format!("--where: the server does not accept {filter}"))
                .refused_as(Code::NotAccepted)
                .state("nothing was changed")
        })?;
    let functions = volatile_parts(client, oid, filter.as_str()).await?;
    let others = sql!("shadow/list_other_relations.sql").text();
    let shadow = find_table(client, &place.shadow.to_string()).await?;
    let other: Option<String> = client
        .query_opt(&format!("{others} limit 1"), &[&oid, &shadow])
        .await?
        .map(|row| row.try_get("relation"))
        .transpose()?;
    client.batch_execute("rollback to savepoint pgrecast_using").await?;
    if let Some(other) = other {
        return Err(Error::refused(
            Code::WhereReadsOthers,
            "--where needs a condition on columns of the row only",
        )
        .because(format!("it reads {other}, whose rows can change during the migration"))
        .about(other)
        .state("nothing was changed"));
    }
    if functions.is_empty() {
        return Ok(());
    }
    Err(unsteady("the condition of --where", &functions)
        .hint("The condition is evaluated when a row is copied, and again when it changes: use only constants and columns of the row."))
}

/// Creates a temporary view of an expression over the shadow as it is now. Returns its oid.
async fn view_of(client: &Client, place: &Place, expression: &str) -> Result<u32> {
    let view = QualifiedName { schema: place.scratch.clone(), name: Ident::new("using_expression") };
    let (shadow, alias) = (&place.shadow, &place.shadow.name);
    let create = format!("create view {view} as select ({expression}) as value from {shadow} as {alias}");
    client.batch_execute(&create).await?;
    Ok(find_table(client, &view.to_string()).await?.unwrap_or_default())
}

/// The parts of the view's expression that may change, in words: functions, and time literals that depend on the clock.
async fn volatile_parts(client: &Client, view: u32, expression: &str) -> Result<Vec<String>> {
    let rows = client.query(&sql!("shadow/list_volatile_functions.sql").text(), &[&view]).await?;
    let mut parts = rows.iter().map(|row| Ok(row.try_get("function")?)).collect::<Result<Vec<String>>>()?;
    let read: String =
        client.query_one("select pg_catalog.pg_get_viewdef($1::oid)", &[&view]).await?.try_get(0)?;
    parts.extend(times_as_read(expression).into_iter().filter(|time| !read.contains(time)));
    Ok(parts)
}

/// Literals of date and time types that depend on the clock. As text they are constant.
/// <https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES>
fn times_as_read(expression: &str) -> Vec<String> {
    let literals = expression.split('\'').skip(1).step_by(2);
    let words = ["now", "today", "tomorrow", "yesterday"];
    let is_special = |text: &&str| words.iter().any(|word| text.trim().to_lowercase().starts_with(word));
    literals.filter(is_special).map(|text| format!("'{text}'")).collect()
}

fn unsteady(what: &str, parts: &[String]) -> Error {
    let message = format!("{what} can return a different result each time it is evaluated");
    Error::refused(Code::VolatileExpression, message)
        .about(what)
        .because(format!("it uses {}", parts.join(", ")))
        .state("nothing was changed")
}
