//! Looks at a table and at what is asked for, tries it out on an empty clone in a transaction that is
//! rolled back, and says everything that `plan` says. Changes nothing.

pub mod check_data;
mod sample;
mod surroundings;
mod trial;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::alter::TableRef;
use crate::catalog::{Attached, Definition, Missing, find_table};
use crate::change::{Change, Strategy};
use crate::db::Sessions;
use crate::db::search_path;
use crate::error::{Error, Kind, Result};
use crate::name::{Ident, QualifiedName};
use crate::plan::class::Class;
use crate::plan::estimate::Sample;
use crate::plan::in_place::{Proof, Step};
use crate::plan::layout::Layout;
use crate::plan::report::{Action, AsItStands, ColumnChange, Handled, Lock, Plan};
use crate::plan::shadow::Place;
use crate::plan::{Blueprint, Refusal, estimate, locks, reason, refusal, risk};
use crate::shadow;
use crate::shadow::layout;
use crate::state::TableChange;
use trial::Trial;

/// A table as it is, and the plan for it.
#[derive(Debug)]
pub struct Examination {
    /// The table.
    pub original: Definition,
    /// Settings under which the plan was made.
    pub settings: Vec<(String, String)>,
    /// What `plan` says.
    pub plan: Plan,
    /// The steps on the table itself, where it needs no copy.
    pub steps: Vec<Step>,
    /// What they prove of the rows.
    pub proofs: Vec<Proof>,
    /// The shadow as it will be, where it needs one.
    pub blueprint: Option<Box<Blueprint>>,
}

/// The oid of the table that the user means.
///
/// # Errors
/// [`Kind::Usage`] when there is none.
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
        None => error.hint(format!("Looked in: {path}. Write schema.table for another schema.")),
    }
    .state("nothing was changed"))
}

/// Where the parts of a migration's shadow stand.
#[must_use]
pub fn place_of(id: Uuid, ordinal: i32, table: &QualifiedName) -> Place {
    let schema = TableChange::shadow_schema_of(id, ordinal);
    Place {
        scratch: Ident::new(format!("{}_scratch", schema.as_str())),
        shadow: table.in_schema(&schema),
        retired: TableChange::retired_schema_of(id, ordinal),
    }
}

/// Looks at the table and tries the change out.
///
/// # Errors
/// [`Kind::Usage`] for a table or column that does not exist, [`Kind::Refused`] for something that is
/// not an ordinary table; all other refusals are in the plan.
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
            .with_kind(Kind::Refused)
            .state("nothing was changed")
            .hint(
                "The encoding SQL_ASCII keeps bytes without saying what they mean. Define again in UTF-8, or drop, the \
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
    if let Some(refusal) = refusal::of_relation(&original) {
        return Err(Error::refused(format!("{} can not be changed: {}", refusal.object, refusal.message))
            .state("nothing was changed"));
    }
    for (column, _) in &change.reverse {
        if !original.columns.iter().any(|known| known.name == *column) {
            return Err(Error::usage(format!(
                "--reverse names column {}, which {} does not have",
                column.shown(),
                original.table.name.shown()
            ))
            .state("nothing was changed")
            .hint("--reverse brings a column of the old shape back: 'old_column=expression'."));
        }
    }
    let settings = Sessions::settings_to_record(client).await?;
    let attached = Attached::list(client, oid).await?;
    let missing = Missing::list(client, oid).await?;
    let found = if missing.is_empty() {
        try_out(sessions, &original, &attached, &settings, change, takes_sample).await?
    } else {
        Found { trial: None, copy: Way::Refused(refusal::of_rights(&original, &missing)) }
    };
    let server: String = client.query_one("show server_version", &[]).await?.try_get(0)?;
    let mut plan = report(&original, &found, change, server);
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
    let (steps, blueprint) = match found.copy {
        Way::InPlace(steps) => (steps, None),
        Way::Copy(copied) => (Vec::new(), Some(Box::new(copied.blueprint))),
        Way::Refused(_) => (Vec::new(), None),
    };
    Ok(Examination { original, settings, plan, steps, proofs, blueprint })
}

/// What the trial came to.
struct Found {
    /// What was found about single actions.
    trial: Option<Trial>,
    copy: Way,
}

/// Which way it will go.
enum Way {
    /// By steps on the table itself, those of the trial.
    InPlace(Vec<Step>),
    /// By a shadow.
    Copy(Box<Copied>),
    /// Not at all.
    Refused(Vec<Refusal>),
}

/// The shadow that was built, and what its rows take.
struct Copied {
    blueprint: Blueprint,
    layout: Layout,
    sample: Option<Sample>,
}

impl Found {
    fn copied(&self) -> Option<&Copied> {
        match &self.copy {
            Way::Copy(copied) => Some(copied),
            _ => None,
        }
    }
}

/// Tries the change out on an empty clone, in place first; in a transaction that is rolled back.
async fn try_out(
    sessions: &Sessions,
    original: &Definition,
    attached: &[Attached],
    settings: &[(String, String)],
    change: &Change,
    takes_sample: bool,
) -> Result<Found> {
    let session = sessions.for_migration("-", &original.table.owner, settings).open("plan").await?;
    session.batch_execute("begin; set local lock_timeout = '300ms'").await?;
    let place = place_of(Uuid::new_v4(), 1, &original.table.name);
    // What an ALTER does to the tables that inherit from this one, its clone does not show.
    let stands_alone = !attached.iter().any(Attached::is_inheritance);
    let mut trial = None;
    if stands_alone {
        trial = trial::try_out(&session, original, &place, &change.alter).await?;
    }
    let destroys = change.alter.actions().any(|action| action.kind.destroys_values());
    let needs_copy = change.needs_copy();
    let may_be_in_place = match change.strategy {
        Strategy::Auto => !destroys && !needs_copy,
        Strategy::Copy => false,
        Strategy::InPlace => !needs_copy,
    };
    if may_be_in_place && let Some(steps) = trial.as_mut().and_then(|trial| trial.steps.take()) {
        return Ok(Found { trial, copy: Way::InPlace(steps) });
    }
    if change.strategy == Strategy::InPlace {
        let name = original.table.name.shown();
        let refusal = Refusal::new(
            "needs-copy",
            name,
            "it can not be done on the table itself without writing all \
            rows anew or reading them under a lock",
        )
        .hint("Leave --strategy in-place out.");
        return Ok(Found { trial, copy: Way::Refused(vec![refusal]) });
    }
    let mut refusals = refusal::of_table(original, attached);
    refusals.extend(refusal::of_actions(original, change.alter.actions()));
    if !refusals.is_empty() {
        return Ok(Found { trial, copy: Way::Refused(refusals) });
    }
    let built = shadow::build(&session, original, &place, change).await;
    let copy = match built {
        Ok(blueprint) => {
            let layout = layout::read(&session, original, &blueprint).await?;
            let sample =
                if takes_sample { sample::take(&session, original, &place, &blueprint).await? } else { None };
            Way::Copy(Box::new(Copied { blueprint, layout, sample }))
        }
        Err(error) if error.kind == Kind::Refused => Way::Refused(vec![as_refusal(original, &error)]),
        Err(error) => return Err(error),
    };
    session.batch_execute("rollback").await?;
    Ok(Found { trial, copy })
}

fn as_refusal(original: &Definition, error: &Error) -> Refusal {
    Refusal {
        code: "not-accepted".into(),
        object: original.table.name.shown(),
        message: error.summary(),
        hint: error.hint.clone(),
    }
}

fn report(original: &Definition, found: &Found, change: &Change, server: String) -> Plan {
    let name = &original.table.name;
    let copied = found.copied();
    let blueprint = copied.map(|copied| &copied.blueprint);
    let statements: Vec<String> = match &found.copy {
        Way::InPlace(steps) => steps.iter().flat_map(|step| step.statements.clone()).collect(),
        _ => change.alter.statements.iter().map(|s| s.sql(name).to_string()).collect(),
    };
    let steps = match &found.copy {
        Way::InPlace(steps) => steps.as_slice(),
        _ => &[],
    };
    let class = strategy(found);
    Plan {
        table: name.shown(),
        strategy: class.as_str().into(),
        actions: actions(change, found),
        columns: blueprint.map(|blueprint| columns(original, blueprint)).unwrap_or_default(),
        dependents: blueprint.map(|blueprint| handled(original, blueprint)).unwrap_or_default(),
        locks: blueprint.map(|blueprint| swap_locks(original, blueprint)).unwrap_or_default(),
        refusals: match &found.copy {
            Way::Refused(refusals) => refusals.clone(),
            _ => Vec::new(),
        },
        risks: match blueprint {
            Some(blueprint) => risk::risks(original, blueprint),
            None => in_place_risks(original, change, steps),
        },
        estimate: estimate::estimate(
            original,
            class,
            change.filter.is_none(),
            copied.and_then(|copied| copied.sample.as_ref()),
        ),
        rollback: match (blueprint, steps) {
            (Some(blueprint), _) => risk::rollback(original, blueprint),
            (None, []) => risk::Rollback::default(),
            (None, _) => risk::rollback_in_place(),
        },
        layout: copied.map(|copied| copied.layout.clone()),
        steps: steps.iter().map(Step::shown).collect(),
        statements,
        server,
    }
}

fn in_place_risks(original: &Definition, change: &Change, steps: &[Step]) -> Vec<risk::Risk> {
    let mut risks = risk::in_place(original, change.alter.actions());
    if steps.iter().any(Step::refuses_rows) {
        risks.push(risk::refused_early(&original.table.name.shown()));
    }
    risks
}

fn strategy(found: &Found) -> Class {
    match &found.copy {
        Way::InPlace(steps) if steps.len() == 1 && steps[0].is_short() => Class::Instant,
        Way::InPlace(_) => Class::Staged,
        _ => Class::Copy,
    }
}

fn actions(change: &Change, found: &Found) -> Vec<Action> {
    let known = |n: usize| found.trial.as_ref().and_then(|trial| trial.actions.get(n));
    let all = change.alter.actions().enumerate();
    all.map(|(n, action)| {
        let tried = known(n);
        let class = tried.map_or(Class::Copy, |tried| tried.class);
        let lock = match (class, tried) {
            (Class::Copy, _) | (_, None) => "ACCESS EXCLUSIVE in the swap".to_owned(),
            (_, Some(tried)) => tried.lock.as_str().to_owned(),
        };
        Action {
            sql: action.text.clone(),
            class: class.as_str().into(),
            lock,
            as_it_stands: tried
                .map(|tried| AsItStands { lock: action.lock.as_str().into(), cost: tried.cost }),
            reason: reason::of(
                action,
                tried.map(|tried| (tried.class, tried.cost, tried.obstacle.as_deref())),
            ),
        }
    })
    .collect()
}

fn swap_locks(original: &Definition, blueprint: &Blueprint) -> Vec<Lock> {
    locks::of_swap(&original.table.name, blueprint.dependents.iter())
        .into_iter()
        .map(|locked| Lock { object: locked.name.shown(), mode: "ACCESS EXCLUSIVE".into() })
        .collect()
}

fn columns(original: &Definition, blueprint: &Blueprint) -> Vec<ColumnChange> {
    let generated =
        |name: &Ident| blueprint.new.columns.iter().any(|column| column.is_generated && column.name == *name);
    let mut list: Vec<ColumnChange> = original
        .columns
        .iter()
        .map(|column| {
            let output = blueprint.forward.target_of(&column.name);
            let computed = (column.is_generated && generated(&column.name)).then(|| column.name.shown());
            ColumnChange {
                from: Some(column.name.shown()),
                to: output.map(|output| output.name.shown()).or(computed),
                expression: output.map(|output| output.expression.to_string()),
            }
        })
        .collect();
    for column in &blueprint.new.columns {
        let shown = column.name.shown();
        if !list.iter().any(|change| change.to.as_ref() == Some(&shown)) {
            let output = blueprint.forward.columns().iter().find(|output| output.name == column.name);
            let expression = output.map(|output| output.expression.to_string());
            list.push(ColumnChange { from: None, to: Some(shown), expression });
        }
    }
    list
}

fn handled(original: &Definition, blueprint: &Blueprint) -> Vec<Handled> {
    let mut list: Vec<Handled> = blueprint
        .dependents
        .iter()
        .filter(|dependent| dependent.side == crate::plan::Side::New)
        .map(|dependent| Handled {
            kind: dependent.kind.as_str().into(),
            name: match &dependent.other_table {
                Some(other) => {
                    format!("{} ({} to {})", dependent.name.shown(), dependent.table.shown(), other.shown())
                }
                None => dependent.name.shown(),
            },
            handling: match dependent.kind {
                crate::plan::Kind::KeyIndex => "built on the shadow after the copy",
                crate::plan::Kind::Index => "built on the shadow before the swap",
                crate::plan::Kind::ForeignKey if dependent.validate.is_some() => {
                    "made in the swap, validated after it"
                }
                crate::plan::Kind::ForeignKey | crate::plan::Kind::Check => {
                    "made in the swap, NOT VALID as it is"
                }
                crate::plan::Kind::Identity => "GENERATED BY DEFAULT until the swap, then ALWAYS again",
                crate::plan::Kind::Trigger => "on the shadow, enabled in the swap",
                crate::plan::Kind::MaterializedView => {
                    "built aside before the swap from the rows as they are then, exchanged in it"
                }
                crate::plan::Kind::Publication => "goes over to the new table in the swap",
                crate::plan::Kind::View
                | crate::plan::Kind::Function
                | crate::plan::Kind::Rule
                | crate::plan::Kind::Policy => match dependent.drop {
                    Some(_) => "made anew on the new table in the swap",
                    None => "put to the new table in the swap, as it is",
                },
            }
            .into(),
        })
        .collect();
    for check in blueprint.new.checks.iter().filter(|check| check.is_valid) {
        list.push(Handled {
            kind: "check".into(),
            name: check.name.shown(),
            handling: "on the shadow, checked while rows are copied".into(),
        });
    }
    for sequence in &original.sequences {
        list.push(Handled {
            kind: "sequence".into(),
            name: sequence.name.shown(),
            handling: if sequence.is_identity {
                "the new identity goes on where it stands in the swap"
            } else {
                "stays; owned by the new column in the swap, and widened with it"
            }
            .into(),
        });
    }
    for object in &original.statistics {
        list.push(Handled {
            kind: "statistics".into(),
            name: object.name.shown(),
            handling: "made on the shadow, exchanged in the swap".into(),
        });
    }
    list
}
