//! The statements that exchange two tables, in order.

use super::exchange::Exchange;
use crate::capture;
use crate::catalog::StatisticsObject;
use crate::db::search_path;
use crate::name::{Ident, Literal, QualifiedName};
use crate::pair::Direction;
use crate::plan::sequence::SequenceMove;
use crate::plan::{Dependent, Kind as DependentKind};
use crate::shadow::stage::as_role;
use crate::state::{self, TableChange};

/// All statements. `values` are the values of the sequences; the guard stores `xid`, this transaction.
pub(super) fn all(exchange: &Exchange, values: &[(i64, bool)], xid: &str) -> Vec<String> {
    let mut out = exchange_statements(exchange);
    out.extend(sequence_statements(exchange, values));
    out.extend(capture_statements(exchange, xid));
    out
}

fn exchange_statements(exchange: &Exchange) -> Vec<String> {
    let Exchange { change, pair, .. } = exchange;
    let name = &change.name;
    let mut out = Vec::new();
    // Objects created later may depend on earlier ones.
    for stored in exchange.drop.iter().rev() {
        if stored.dependent.kind == DependentKind::MaterializedView {
            let view = &stored.dependent.table;
            out.push(format!("alter materialized view {view} set schema {}", exchange.outgoing_schema));
        }
        let drop = stored.dependent.drop.clone();
        out.extend(drop.map(|drop| as_role(stored.dependent.role.as_ref(), &exchange.owner, &drop)));
    }
    for trigger in capture::trigger_names() {
        out.push(format!("drop trigger if exists {trigger} on {name}"));
    }
    out.push(format!("drop trigger if exists pgrecast_guard on {name}"));
    let guard = guard_of_others(change);
    out.extend(referencing(exchange).map(|child| format!("drop trigger if exists {guard} on {child}")));
    if !exchange.outgoing.triggers.is_empty() {
        out.push(format!("alter table {name} disable trigger user"));
    }
    for step in &exchange.sequences {
        if let SequenceMove::Owner { sequence, column: Some(_), .. } = step {
            // Otherwise the sequence would move with the outgoing table.
            out.push(format!("alter sequence {} owned by none", sequence.name));
        }
    }
    for object in &exchange.outgoing.statistics {
        out.push(format!("alter statistics {} set schema {}", object.name, exchange.outgoing_schema));
    }
    out.push(format!("alter table {name} set schema {}", exchange.outgoing_schema));
    out.push(format!("alter table {} set schema {}", pair.to, name.schema));
    let (views, make): (Vec<_>, Vec<_>) = exchange
        .make
        .iter()
        .map(|stored| &stored.dependent)
        .partition(|dependent| dependent.kind == DependentKind::MaterializedView);
    for view in views {
        let aside = view.table.in_schema(&pair.to.schema);
        out.push(format!("alter materialized view {aside} set schema {}", view.table.schema));
    }
    for object in &exchange.incoming.statistics {
        let schema = home(object, &exchange.outgoing.statistics).unwrap_or(&name.schema);
        out.push(format!("alter statistics {} set schema {schema}", object.name));
    }
    let (here, elsewhere): (Vec<_>, Vec<_>) = make.into_iter().partition(|dependent| !is_referrer(dependent));
    out.extend(here.into_iter().flat_map(|dependent| dependent.create.clone()));
    out.push(search_path::EMPTY.to_owned());
    for dependent in elsewhere {
        out.extend(
            dependent.create.iter().map(|create| as_role(dependent.role.as_ref(), &exchange.owner, create)),
        );
    }
    out.push(search_path::back_to(&exchange.search_path));
    out
}

/// Whether it is an object outside of the table that refers to it.
fn is_referrer(dependent: &Dependent) -> bool {
    use DependentKind::{Function, Policy, Publication, Rule, View};
    matches!(dependent.kind, View | Function | Rule | Policy | Publication)
}

/// The schema of the outgoing statistics object of the same name.
fn home<'a>(object: &StatisticsObject, outgoing: &'a [StatisticsObject]) -> Option<&'a Ident> {
    outgoing.iter().find(|other| other.name.name == object.name.name).map(|other| &other.name.schema)
}

fn sequence_statements(exchange: &Exchange, values: &[(i64, bool)]) -> Vec<String> {
    let name = &exchange.change.name;
    let mut out = Vec::new();
    for (step, (last_value, _)) in exchange.sequences.iter().zip(values) {
        match step {
            SequenceMove::Owner { sequence, column: Some(column), type_name } => {
                // A rollback restores a narrower type only if the value still fits.
                let limit = match type_name.as_deref() {
                    Some("smallint") => i64::from(i16::MAX),
                    Some("integer") => i64::from(i32::MAX),
                    _ => i64::MAX,
                };
                if let Some(type_name) = type_name.as_ref().filter(|_| *last_value < limit) {
                    out.push(format!("alter sequence {} as {type_name}", sequence.name));
                }
                out.push(format!("alter sequence {} owned by {name}.{column}", sequence.name));
            }
            SequenceMove::Owner { column: None, .. } | SequenceMove::Value { .. } => {}
        }
    }
    out
}

fn capture_statements(exchange: &Exchange, xid: &str) -> Vec<String> {
    let Exchange { change, pair, .. } = exchange;
    let name = &change.name;
    let mut out = Vec::new();
    if pair.direction == Direction::Forward {
        out.push(capture::trigger_statements(change, Direction::Reverse, name));
    }
    // A statement with a snapshot older than the swap gets an error that it must expect anyway. Without the guard its
    // UPDATE would silently find no rows. `finish` drops the guard as soon as no such snapshot exists.
    let call = format!("for each statement execute function {}({})", state::guard(), Literal(xid));
    out.push(format!(
        "create trigger pgrecast_guard before insert or update or delete or truncate on {name} {call}"
    ));
    out.push(format!("alter table {name} enable always trigger pgrecast_guard"));
    // The check of a foreign key would not find the row either, and say that it does not exist (23503).
    let guard = guard_of_others(change);
    for child in referencing(exchange) {
        out.push(format!("create trigger {guard} before insert or update on {child} {call}"));
        out.push(format!("alter table {child} enable always trigger {guard}"));
    }
    out
}

/// The guard on tables whose foreign keys lead to the table: one for each migration, since such a table may have its own.
fn guard_of_others(change: &TableChange) -> Ident {
    Ident::new(format!("pgrecast_guard_{}", &change.migration_id.simple().to_string()[..8]))
}

/// The tables whose foreign keys lead to the table that comes into place.
fn referencing(exchange: &Exchange) -> impl Iterator<Item = &QualifiedName> {
    let keys = exchange.make.iter().map(|stored| &stored.dependent);
    let mut tables: Vec<&QualifiedName> = keys
        .filter(|dependent| dependent.kind == DependentKind::ForeignKey)
        .map(|dependent| &dependent.table)
        .filter(|table| **table != exchange.change.name)
        .collect();
    tables.sort();
    tables.dedup();
    tables.into_iter()
}
