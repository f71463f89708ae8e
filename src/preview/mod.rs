//! Examines a table and the requested change: tries the change on an empty clone, in a transaction that is rolled back,
//! and determines everything that `plan` reports. Changes nothing.

pub mod check_data;
mod oid_values;
mod sample;
mod surroundings;
mod trial;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::alter::TableRef;
use crate::catalog::{Attached, Definition, Manager, Missing, find_table};
use crate::change::{Change, Strategy};
use crate::db::Sessions;
use crate::db::search_path;
use crate::error::{Code, Error, Result};
use crate::name::{Ident, QualifiedName};
use crate::plan::finding::{self, Copied, Finding, Way};
use crate::plan::in_place::{Proof, Step};
use crate::plan::shadow::Place;
use crate::plan::{Blueprint, Plan, Refusal, refusal, risk};
use crate::shadow;
use crate::shadow::layout;
use crate::state::{self, TableChange};

/// A table and the plan for it.
#[derive(Debug)]
pub struct Examination {
    /// The table.
    pub original: Definition,
    /// The settings under which the plan was made.
    pub settings: Vec<(String, String)>,
    /// The plan.
    pub plan: Plan,
    /// The steps on the table itself, if the change needs no copy.
    pub steps: Vec<Step>,
    /// The conditions on rows that they verify.
    pub proofs: Vec<Proof>,
    /// The shadow, if the change needs one.
    pub blueprint: Option<Box<Blueprint>>,
}

/// The oid of the table that the user means.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) if there is none.
pub async fn find(client: &Client, table: &TableRef) -> Result<u32> {
    let name = table.to_string();
    if let Some(oid) = find_table(client, &name).await? {
        return Ok(oid);
    }
    let path = search_path::current(client).await?;
    let database: String = client.query_one("select pg_catalog.current_database()", &[]).await?.try_get(0)?;
    let error = Error::usage(format!("table {name} does not exist in database {database}"));
    Err(match &table.schema {
        Some(_) => error,
        None => error.hint(format!("Searched in: {path}. Write schema.table for another schema.")),
    }
    .state("nothing was changed"))
}

/// Where the parts of a migration's shadow are.
#[must_use]
pub fn place_of(id: Uuid, ordinal: i32, table: &QualifiedName) -> Place {
    let schema = TableChange::shadow_schema_of(id, ordinal);
    Place {
        scratch: Ident::new(format!("{}_scratch", schema.as_str())),
        shadow: table.in_schema(&schema),
        retired: TableChange::retired_schema_of(id, ordinal),
    }
}

/// Examines the table and tries the change.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) for a table or column that does not exist. Refusals are in the plan.
pub async fn examine(
    sessions: &Sessions,
    client: &Client,
    table: &TableRef,
    change: &Change,
    takes_sample: bool,
) -> Result<Examination> {
    look(sessions, client, table, change, takes_sample).await.map_err(|error| {
        if !error.is_sqlstate(&SqlState::CHARACTER_NOT_IN_REPERTOIRE) {
            return error;
        }
        error
            .context("a name or a definition of this database is not UTF-8")
            .refused_as(Code::NotUtf8)
            .state("nothing was changed")
            .hint(
                "A database with the encoding SQL_ASCII can contain any bytes. Define again in UTF-8, or drop, the \
                 default, comment, constraint, index or trigger of the table that is not; or move to a database in UTF8.",
            )
    })
}

async fn look(
    sessions: &Sessions,
    client: &Client,
    table: &TableRef,
    change: &Change,
    takes_sample: bool,
) -> Result<Examination> {
    let oid = find(client, table).await?;
    let original = Definition::read(client, oid).await?;
    for (column, _) in &change.reverse {
        if !original.columns.iter().any(|known| known.name == *column) {
            return Err(Error::usage(format!(
                "--reverse names column {}, which {} does not have",
                column.shown(),
                original.table.name.shown()
            ))
            .state("nothing was changed")
            .hint("--reverse computes a column of the old shape: 'old_column=expression'."));
        }
    }
    let settings = Sessions::settings_to_record(client).await?;
    let refusals = before_trial(client, &original).await?;
    let found = if refusals.is_empty() {
        let attached = Attached::list(client, oid).await?;
        let session = sessions.for_migration("-", &original.table.owner, &settings).open("plan").await?;
        session.batch_execute("begin; set local lock_timeout = '300ms'").await?;
        let found = try_out(&session, &original, &attached, change, takes_sample).await?;
        session.batch_execute("rollback").await?;
        found
    } else {
        Finding { trial: None, way: Way::Refused(refusals) }
    };
    let server: String = client.query_one("show server_version", &[]).await?.try_get(0)?;
    let mut plan = finding::report(&original, &found, change, server);
    let row = client
        .query_one(
            "select session_user::text, pg_catalog.pg_has_role(session_user, 'pg_read_all_stats', 'usage')",
            &[],
        )
        .await?;
    if plan.refusals.is_empty() {
        plan.risks.extend(surroundings::risks(client, &original).await?);
        if found.copied().is_some() {
            plan.risks.extend(surroundings::risks_of_copy(client, &original, &plan.estimate).await?);
            plan.risks.extend(oid_values::risks(client, &original).await?);
            if !change.order.is_empty() {
                let order = shadow::find_order(client, oid, &change.order).await?;
                plan.risks.extend(surroundings::risks_of_order(client, &original, &order).await?);
            }
        }
    }
    if !row.try_get::<_, bool>(1)? && plan.refusals.is_empty() {
        plan.risks.push(risk::hidden_transactions(&Ident::new(row.try_get::<_, String>(0)?)));
    }
    let proofs = found.trial.map(|trial| trial.proofs).unwrap_or_default();
    let (steps, blueprint) = match found.way {
        Way::InPlace(steps) => (steps, None),
        Way::Copy(copied) => (Vec::new(), Some(Box::new(copied.blueprint))),
        Way::Refused(_) => (Vec::new(), None),
    };
    Ok(Examination { original, settings, plan, steps, proofs, blueprint })
}

/// Reasons to refuse any change. They also prevent a trial.
async fn before_trial(client: &Client, original: &Definition) -> Result<Vec<Refusal>> {
    if let Some(refusal) = refusal::of_relation(original) {
        return Ok(vec![refusal]);
    }
    if let Some(manager) = Manager::find(client, original.table.oid).await? {
        return Ok(vec![refusal::of_manager(original, manager)]);
    }
    let missing = Missing::list(client, original.table.oid).await?;
    let mut refusals = refusal::of_rights(original, &missing);
    if let Err(error) = state::expect_free_name(client).await {
        refusals.push(or_fail(original, error)?);
    }
    Ok(refusals)
}

/// The refusal that the error describes; any other error is returned.
fn or_fail(original: &Definition, error: Error) -> Result<Refusal> {
    Refusal::of_error(&error, &original.table.name).ok_or(error)
}

/// Tries the change on an empty clone, first in place, in a transaction that the caller rolls back.
async fn try_out(
    session: &Client,
    original: &Definition,
    attached: &[Attached],
    change: &Change,
    takes_sample: bool,
) -> Result<Finding> {
    let place = place_of(Uuid::new_v4(), 1, &original.table.name);
    // The clone does not show what an ALTER does to child tables.
    let stands_alone = !attached.iter().any(Attached::is_inheritance);
    let mut trial = None;
    if stands_alone {
        trial = match trial::try_out(session, original, &place, &change.alter).await {
            Ok(tried) => tried,
            Err(error) => {
                let refusal = or_fail(original, error)?;
                return Ok(Finding { trial: None, way: Way::Refused(vec![refusal]) });
            }
        };
    }
    let destroys = change.alter.actions().any(|action| action.kind.destroys_values());
    let needs_copy = change.needs_copy();
    let may_be_in_place = match change.strategy {
        Strategy::Auto => !destroys && !needs_copy,
        Strategy::Copy => false,
        Strategy::InPlace => !needs_copy,
    };
    if may_be_in_place && let Some(steps) = trial.as_mut().and_then(|trial| trial.steps.take()) {
        return Ok(Finding { trial, way: Way::InPlace(steps) });
    }
    if change.strategy == Strategy::InPlace {
        let name = original.table.name.shown();
        let why = "on the table itself the change would rewrite all rows, or read them under a strong lock";
        let refusal = Refusal::new(Code::NeedsCopy, name, why).hint("Leave --strategy in-place out.");
        return Ok(Finding { trial, way: Way::Refused(vec![refusal]) });
    }
    let mut refusals = refusal::of_table(original, attached);
    refusals.extend(refusal::of_actions(original, change.alter.actions()));
    if !refusals.is_empty() {
        return Ok(Finding { trial, way: Way::Refused(refusals) });
    }
    let built = shadow::build(session, original, &place, change).await;
    let way = match built {
        Ok(blueprint) => {
            let layout = layout::read(session, original, &blueprint).await?;
            let sample =
                if takes_sample { sample::take(session, original, &place, &blueprint).await? } else { None };
            Way::Copy(Box::new(Copied { blueprint, layout, sample }))
        }
        Err(error) => Way::Refused(vec![or_fail(original, error)?]),
    };
    Ok(Finding { trial, way })
}
