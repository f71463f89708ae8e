//! The result of trying a change on a clone, and the plan that follows from it.

use super::class::{Class, Cost};
use super::estimate::Sample;
use super::in_place::{Proof, Step};
use super::layout::Layout;
use super::report::{Action, AsItStands, ColumnChange, Handled, Lock, Plan};
use super::{Blueprint, Refusal, estimate, locks, reason, risk};
use crate::alter::LockMode;
use crate::catalog::Definition;
use crate::change::Change;
use crate::name::Ident;

/// The result of trying single actions on a clone.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The result for each action.
    pub actions: Vec<Tried>,
    /// The steps that perform the whole change without a copy; none if there are none.
    pub steps: Option<Vec<Step>>,
    /// The conditions that they verify.
    pub proofs: Vec<Proof>,
}

/// The result for one action.
#[derive(Debug, Clone)]
pub struct Tried {
    /// Its class.
    pub class: Class,
    /// What PostgreSQL would do to the rows if it ran the action directly.
    pub cost: Cost,
    /// The strongest lock that the steps acquire for it.
    pub lock: LockMode,
    /// What prevents it from being done in place although it costs nothing.
    pub obstacle: Option<String>,
}

/// The result of the trial.
#[derive(Debug)]
pub struct Finding {
    /// The results for single actions.
    pub trial: Option<Trial>,
    /// How the change will be performed.
    pub way: Way,
}

/// How the change will be performed.
#[derive(Debug)]
pub enum Way {
    /// In steps on the table itself: those of the trial.
    InPlace(Vec<Step>),
    /// With a shadow.
    Copy(Box<Copied>),
    /// Not at all.
    Refused(Vec<Refusal>),
}

/// The shadow that was built, and the size of its rows.
#[derive(Debug)]
pub struct Copied {
    /// What building it determined.
    pub blueprint: Blueprint,
    /// The size of a row.
    pub layout: Layout,
    /// The measurements of copying some rows; none without `--sample`.
    pub sample: Option<Sample>,
}

impl Finding {
    /// The shadow, if there is one.
    #[must_use]
    pub fn copied(&self) -> Option<&Copied> {
        match &self.way {
            Way::Copy(copied) => Some(copied),
            _ => None,
        }
    }
}

/// The plan for this finding.
#[must_use]
pub fn report(original: &Definition, found: &Finding, change: &Change, server: String) -> Plan {
    let name = &original.table.name;
    let copied = found.copied();
    let blueprint = copied.map(|copied| &copied.blueprint);
    let statements: Vec<String> = match &found.way {
        Way::InPlace(steps) => steps.iter().flat_map(|step| step.statements.clone()).collect(),
        _ => change.alter.statements.iter().map(|s| s.sql(name).to_string()).collect(),
    };
    let steps = match &found.way {
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
        refusals: match &found.way {
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

fn strategy(found: &Finding) -> Class {
    match &found.way {
        Way::InPlace(steps) if steps.len() == 1 && steps[0].is_short() => Class::Instant,
        Way::InPlace(_) => Class::Staged,
        _ => Class::Copy,
    }
}

fn actions(change: &Change, found: &Finding) -> Vec<Action> {
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
        .filter(|dependent| dependent.side == super::Side::New)
        .map(|dependent| Handled {
            kind: dependent.kind.as_str().into(),
            name: match &dependent.other_table {
                Some(other) => {
                    format!("{} ({} to {})", dependent.name.shown(), dependent.table.shown(), other.shown())
                }
                None => dependent.name.shown(),
            },
            handling: match dependent.kind {
                super::Kind::KeyIndex => "built on the shadow after the copy",
                super::Kind::Index => "built on the shadow before the swap",
                super::Kind::ForeignKey if dependent.validate.is_some() => {
                    "created in the swap, validated after it"
                }
                super::Kind::ForeignKey | super::Kind::Check => "created in the swap, stays NOT VALID",
                super::Kind::Identity => "GENERATED BY DEFAULT until the swap, then ALWAYS again",
                super::Kind::Trigger => "on the shadow, enabled in the swap",
                super::Kind::MaterializedView => {
                    "built before the swap from the rows at that time, exchanged in the swap"
                }
                super::Kind::Publication => "moved to the new table in the swap",
                super::Kind::View | super::Kind::Function | super::Kind::Rule | super::Kind::Policy => {
                    match dependent.drop {
                        Some(_) => "created again on the new table in the swap",
                        None => "changed in the swap to refer to the new table",
                    }
                }
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
                "the new identity continues from its value in the swap"
            } else {
                "stays; in the swap the new column becomes its owner, and its type is widened with the column"
            }
            .into(),
        });
    }
    for object in &original.statistics {
        list.push(Handled {
            kind: "statistics".into(),
            name: object.name.shown(),
            handling: "created on the shadow, exchanged in the swap".into(),
        });
    }
    list
}
