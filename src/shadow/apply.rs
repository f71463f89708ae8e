//! Runs the statements of the change on the empty shadow, in their order.

use tokio_postgres::Client;

use super::accept::not_accepted;
use super::expression::check_using;
use super::{Furnished, added, retyped, run, users};
use crate::alter::{ActionKind, AlterStatement};
use crate::catalog::{Column, Definition};
use crate::change::Change;
use crate::error::{Code, Error, Result};
use crate::plan::Mapping;
use crate::plan::mapping::Tracker;
use crate::plan::shadow::Place;

/// Runs them, and tracks how they change the columns.
///
/// # Errors
/// [`Code::NotAccepted`] with the server's message.
pub(super) async fn apply(
    client: &Client,
    original: &Definition,
    place: &Place,
    change: &Change,
    Furnished { oid, parents, retyped }: &Furnished,
) -> Result<Mapping> {
    let oid = *oid;
    let columns = retyped::before(original, &Column::list(client, oid).await?, retyped);
    let mut tracker = Tracker::new(&original.table.name.name, columns);
    let kinds_of = |statement: &AlterStatement| -> Vec<ActionKind> {
        statement.actions.iter().map(|action| action.kind.clone()).collect()
    };
    let mut statements = change.alter.statements.iter();
    if !retyped.is_empty()
        && let Some(done) = statements.next()
    {
        for statement in retyped::of_sequences(client, oid, retyped).await? {
            run(client, &statement).await?;
        }
        tracker.follow(&kinds_of(done), &[], Vec::new(), Column::list(client, oid).await?);
    }
    for statement in statements {
        let mut mixed = Vec::new();
        for (column, using) in statement.usings() {
            if check_using(client, place, column, using).await? {
                mixed.push(column.clone());
            }
        }
        let known = tracker.columns().to_vec();
        let as_added = match statement.as_added() {
            Some(as_added) => {
                let text = as_added.sql_with(&place.shadow, |written| parents.stand_in(written));
                added::try_out(client, &text, &place.scratch, oid, &known).await?
            }
            None => None,
        };
        let text = statement.sql_with(&place.shadow, |written| parents.stand_in(written));
        let triggers = users::take_off(client, oid, &place.shadow, statement).await?;
        client.batch_execute(text.as_str()).await.map_err(|error| {
            let home = (place.shadow.schema.shown(), original.table.name.schema.shown());
            not_accepted(error.into(), original, statement, |cause| {
                parents.in_words(&cause.replace(&home.0, &home.1))
            })
        })?;
        for trigger in &triggers {
            run(client, trigger).await?;
        }
        let after = Column::list(client, oid).await?;
        let added = match as_added {
            Some(added) => added,
            None => added::list(client, &place.scratch, oid, &known, &after).await?,
        };
        tracker.follow(&kinds_of(statement), &mixed, added, after);
    }
    tracker.finish().map_err(|why| {
        Error::refused(Code::AddedThenAltered, why)
            .state("nothing was changed")
            .hint("Only add the column with its default, and alter it separately after the swap.")
    })
}
