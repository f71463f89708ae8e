//! Risks: what the change can break or lose.

mod code;

use serde::Serialize;

use crate::alter::{Action, ActionKind};
use crate::catalog::{Column, Definition, Identity};
use crate::name::{Ident, Literal, QualifiedName};

use super::mapping::Mapping;
use super::sequence::{identity_of, serial_of};
use super::{Blueprint, cast};

pub use code::Code;

/// Something that the user should know before the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Risk {
    /// A stable code for scripts.
    pub code: Code,
    /// The object that it concerns.
    pub object: String,
    /// What can happen.
    pub message: String,
}

impl Risk {
    fn new(code: Code, object: impl Into<String>, message: impl Into<String>) -> Self {
        Risk { code, object: object.into(), message: message.into() }
    }
}

/// Rows that `--check-data` found, and the keys of some of them.
#[must_use]
pub fn rows(code: Code, object: &str, count: i64, words: &str, shown: &[String]) -> Risk {
    let more = if count > shown.len() as i64 { "; .." } else { "" };
    let what = if code == Code::Duplicates { "values" } else { "rows" };
    Risk::new(code, object, format!("{count} {what} {words}: {}{more}", shown.join("; ")))
}

/// A sequence that has given out this percentage of the values that its column can hold.
#[must_use]
pub fn sequence_exhaustion(sequence: &QualifiedName, column: &str, percent: i32) -> Risk {
    Risk::new(
        Code::SequenceExhaustion,
        sequence.shown(),
        format!("it has given out {percent} percent of the values that column {column} can hold"),
    )
}

/// A column of another table that holds the table's oid; `count` is the number of such rows if it is known.
#[must_use]
pub fn oid_values(
    original: &Definition,
    (table, column, type_name): (&QualifiedName, &Ident, &str),
    value: u32,
    count: Option<i64>,
) -> Risk {
    let rows = match count {
        Some(1) => "1 row holds".to_owned(),
        Some(count) => format!("{count} rows hold"),
        None => "it could not be read within a second: rows that hold".to_owned(),
    };
    let kind = if type_name == "regtype" { "regtype" } else { "regclass" };
    let name = Literal(&original.table.name.to_string()).to_string();
    let verb = if count == Some(1) { "names" } else { "name" };
    Risk::new(
        Code::OidValues,
        format!("{}.{}", table.shown(), column.shown()),
        format!(
            "{rows} the oid of the table, {value}{} {verb} the former table after the swap, and no table after cleanup. Run \
             right after the swap: update {table} set {column} = {name}::{kind} where {column} = {value};",
            if count.is_some() { ", and" } else { "," }
        ),
    )
}

/// A publication that sends the table's changes to subscribers.
#[must_use]
pub fn subscribers(table: &str, publication: &str) -> Risk {
    Risk::new(
        Code::Subscribers,
        table,
        format!(
            "publication {publication} sends its rows to subscribers. If the change adds or widens columns, change the \
             subscribers first; if it drops columns, change them afterwards. Otherwise their apply stops"
        ),
    )
}

/// A transaction that currently blocks every lock request.
#[must_use]
pub fn long_transaction(table: &str, holder: &str) -> Risk {
    Risk::new(
        Code::LongTransaction,
        table,
        format!("a long transaction holds a lock now: {holder}; pgrecast requests no lock until it ends"),
    )
}

/// Less free disk space than the change may need, both in bytes.
#[must_use]
pub fn disk_space(table: &str, free: f64, needed: f64) -> Option<Risk> {
    let gb = |bytes: f64| bytes / 1024.0 / 1024.0 / 1024.0;
    (free < needed).then(|| {
        Risk::new(
            Code::DiskSpace,
            table,
            format!(
                "{:.1} GB are free on its disk, and the change may need up to {:.1} GB for the shadow and WAL",
                gb(free),
                gb(needed)
            ),
        )
    })
}

/// Rows written per second from which on the replay may take long. Several sessions can replay about four times as many
/// (docs/performance.md).
const HOT: f64 = 5000.0;

/// The table has many writes.
#[must_use]
pub fn hot_table(table: &str, rows: f64, seconds: f64) -> Option<Risk> {
    // In the first minute after a reset the counter shows bulk loads, not the usual rate.
    let rate = rows / seconds.max(60.0);
    (rate >= HOT).then(|| {
        Risk::new(
            Code::HotTable,
            table,
            format!(
                "about {rate:.0} of its rows are written per second on average: replaying these changes may take long. \
                 Choose a quieter time, or use --jobs and --nice-ratio 0"
            ),
        )
    })
}

/// Many rows have the same value in the order of the copy.
#[must_use]
pub fn coarse_order(table: &str, column: &str, rows: f64) -> Option<Risk> {
    const MANY: f64 = 20_000.0;
    (rows > MANY).then(|| {
        Risk::new(
            Code::CoarseOrder,
            table,
            format!(
                "about {rows:.0} rows have the same value of {column}: each part of the copy sorts all of them again. Order by an \
                 index that ends with the key"
            ),
        )
    })
}

/// Whether a rollback is lossless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Rollback {
    /// A rollback loses nothing that was written after the swap, and cannot fail because of it.
    pub lossless: bool,
    /// Why it could lose values or fail.
    pub notes: Vec<String>,
}

/// Whether the columns of the old shape have another order in the new shape.
fn is_moved(original: &Definition, blueprint: &Blueprint) -> bool {
    let old = |column: &Column| {
        let filled = blueprint.forward.columns().iter().find(|output| output.name == column.name);
        let name = filled.map_or(Some(&column.name), |output| output.from.as_ref());
        original.columns.iter().position(|known| Some(&known.name) == name)
    };
    !blueprint.new.columns.iter().filter_map(old).is_sorted()
}

/// The risks of this change.
#[must_use]
pub fn risks(original: &Definition, blueprint: &Blueprint) -> Vec<Risk> {
    let mut risks = Vec::new();
    let mut add = |code: Code, object: String, message: String| risks.push(Risk::new(code, object, message));
    let pairs = retyped(original, &blueprint.new, &blueprint.forward);
    let is_moved = is_moved(original, blueprint);
    if is_moved {
        add(
            Code::ColumnOrder,
            original.table.name.shown(),
            "INSERT and COPY without a column list, and functions with `row(..)::` of the table in their text, will put \
             values into other columns; SELECT * returns the columns in another order"
                .into(),
        );
    }
    if is_moved || !pairs.is_empty() || original.columns.len() != blueprint.new.columns.len() {
        add(
            Code::PreparedStatements,
            original.table.name.shown(),
            "sessions that prepared `select *` or `returning` of a changed column get the error \"cached plan must not \
             change result type\" once, as after any ALTER; most drivers prepare again by themselves"
                .into(),
        );
    }
    for (old, new) in &pairs {
        for key in original.foreign_keys_in() {
            if key.parent_columns.contains(&old.name) {
                add(
                    Code::ChildColumns,
                    format!("{}.{}", key.child.shown(), key.name.shown()),
                    format!(
                        "the referencing column keeps its type while {} becomes {}",
                        old.name.shown(),
                        new.type_name
                    ),
                );
            }
        }
    }
    let is_new = |column: &&Column| {
        blueprint.forward.columns().iter().all(|o| o.name != column.name || o.from.is_none())
            && original.columns.iter().all(|old| old.name != column.name)
    };
    for column in blueprint.new.columns.iter().filter(is_new) {
        let is_given =
            column.default_expression.is_some() || column.is_generated || column.identity != Identity::None;
        if column.is_not_null && !is_given {
            add(Code::RequiredColumn, original.table.name.shown(), required(&column.name));
        }
    }
    if let Some(filter) = &blueprint.forward.filter {
        add(
            Code::RowLoss,
            original.table.name.shown(),
            format!("rows that do not satisfy {filter} are not in the new table; cleanup drops them"),
        );
    }
    for check in &original.checks {
        let text = check.definition.to_lowercase();
        if ["now()", "current_", "localtime", "clock_timestamp"].iter().any(|word| text.contains(word)) {
            add(
                Code::TimeDependentCheck,
                check.name.shown(),
                "the check reads the clock: rows that satisfied it once may be rejected when they are copied"
                    .into(),
            );
        }
    }
    risks.extend(new_identities(original, blueprint));
    risks
}

/// Identities that existing columns get without a serial whose value they could take over.
fn new_identities<'a>(original: &'a Definition, blueprint: &'a Blueprint) -> impl Iterator<Item = Risk> + 'a {
    let sequences = blueprint.new.sequences.iter().filter(|sequence| sequence.is_identity);
    sequences.filter_map(|sequence| {
        let columns = blueprint.forward.columns();
        let old = columns.iter().find(|output| output.name == sequence.column)?.from.as_ref()?;
        let goes_on = identity_of(original, old).or_else(|| serial_of(original, old));
        goes_on.is_none().then(|| identity_start(&original.table.name, &sequence.column))
    })
}

/// An existing column becomes an identity whose sequence does not consider the existing values.
fn identity_start(table: &QualifiedName, column: &Ident) -> Risk {
    Risk::new(
        Code::IdentityStart,
        format!("{}.{}", table.shown(), column.shown()),
        format!(
            "its new sequence starts at its own start value, not after the existing values. Run right after the change: \
             select setval(pg_get_serial_sequence({}, {}), (select max({column}) from {table}));",
            Literal(&table.to_string()),
            Literal(column.as_str())
        ),
    )
}

fn required(column: &Ident) -> String {
    format!("after the change an INSERT without a value for column {} fails", column.shown())
}

/// The risks of a change without a copy.
pub fn in_place<'a>(original: &Definition, actions: impl Iterator<Item = &'a Action>) -> Vec<Risk> {
    let table = original.table.name.shown();
    let mut risks = Vec::new();
    let mut added_not_null = Vec::new();
    for action in actions {
        if let ActionKind::AddColumn { name } = &action.kind
            && action.text.to_lowercase().contains("not null")
        {
            added_not_null.push(name);
        }
        match &action.kind {
            ActionKind::AlterColumn { column } if added_not_null.contains(&column) && action.text.ends_with("drop default") => {
                risks.push(Risk::new(Code::RequiredColumn, table.clone(), required(column)));
            }
            ActionKind::AlterColumn { column } if action.text.to_lowercase().contains("add generated") => {
                let is_known = original.columns.iter().any(|known| known.name == *column);
                if is_known && serial_of(original, column).is_none() {
                    risks.push(identity_start(&original.table.name, column));
                }
            }
            ActionKind::DropColumn { name } => risks.push(Risk::new(
                Code::DataLoss,
                format!("{table}.{}", name.shown()),
                "the change drops its values at once; without --strategy in-place the former table would keep them until \
                 cleanup",
            )),
            ActionKind::RenameColumn { from, .. } => risks.push(Risk::new(
                Code::Renamed,
                format!("{table}.{}", from.shown()),
                "statements of the application that use the old name fail after the change",
            )),
            ActionKind::InPlaceOnly { is_name: true, .. } => risks.push(Risk::new(
                Code::Renamed,
                table.clone(),
                "statements of the application that use the old name fail after the change; views and foreign keys follow the rename",
            )),
            ActionKind::AddColumn { .. } | ActionKind::SetType { .. } => risks.push(Risk::new(
                Code::PreparedStatements,
                table.clone(),
                "sessions that prepared `select *` get the error \"cached plan must not change result type\" once; most \
                 drivers prepare again by themselves",
            )),
            _ => {}
        }
    }
    risks.dedup();
    risks
}

/// A constraint that rejects rows before it is validated.
#[must_use]
pub fn refused_early(table: &str) -> Risk {
    Risk::new(
        Code::RefusedEarly,
        table,
        "from the first step on, a constraint that is not validated yet rejects rows that violate it: new rows, and every \
         UPDATE of an existing row that violates it. `abort` drops the constraint. --check-data says whether there are such rows",
    )
}

/// A constraint that --check-data cannot check.
#[must_use]
pub fn not_checked(object: &str, why: &str) -> Risk {
    Risk::new(Code::NotChecked, object, format!("--check-data did not check the rows for it: {why}"))
}

/// What a rollback means for a change without a copy.
#[must_use]
pub fn rollback_in_place() -> Rollback {
    Rollback {
        lossless: false,
        notes: vec![
            "the change is made on the table itself, and `rollback` is not possible: before the last step `abort` undoes \
             the steps so far; after it only an ALTER of your own undoes the change"
                .into(),
        ],
    }
}

/// The role may not see the sessions of other roles.
#[must_use]
pub fn hidden_transactions(role: &Ident) -> Risk {
    Risk::new(
        Code::HiddenTransactions,
        role.shown(),
        format!(
            "this role cannot see how old the transactions of other roles are: pgrecast watches each for a second \
             before it requests a lock, and cannot say which session has an old snapshot. To change that: grant \
             pg_read_all_stats to {role};"
        ),
    )
}

/// The table has another open migration.
#[must_use]
pub fn open_migration(table: &str, id: &str, phase: &str) -> Risk {
    Risk::new(
        Code::OpenMigration,
        table,
        format!("migration {id} of this table is open ({phase}): it must end before another one begins"),
    )
}

/// What a rollback means for this change.
#[must_use]
pub fn rollback(original: &Definition, blueprint: &Blueprint) -> Rollback {
    let mut notes = Vec::new();
    for (old, new) in retyped(original, &blueprint.new, &blueprint.forward) {
        if !widens(new, old) {
            notes.push(format!(
                "values of {} written after the swap are cast to {} by the rollback: {}a value that does not fit stops the \
                 rollback",
                new.name.shown(),
                old.type_name,
                if loses_digits(new) { "the cast rounds or truncates without an error; " } else { "" }
            ));
        }
    }
    for old in original.columns.iter().filter(|column| !column.is_generated) {
        if blueprint.reverse.columns().iter().any(|output| output.name == old.name) {
            continue;
        }
        notes.push(if old.is_not_null && !old.has_default && old.identity == crate::catalog::Identity::None {
            format!(
                "column {} is NOT NULL without a default, and rows inserted after the swap have no value for it: \
                 the rollback fails if there are any",
                old.name.shown()
            )
        } else {
            format!("in rows inserted after the swap, the rollback sets column {} to its default", old.name.shown())
        });
    }
    for new in &blueprint.new.columns {
        let comes_from_old = |output: &super::Output| output.name == new.name && output.from.is_some();
        if !blueprint.forward.columns().iter().any(comes_from_old) && !new.is_generated {
            notes.push(format!("the rollback drops the values of the new column {}", new.name.shown()));
        }
    }
    let others = original.indexes.iter().filter(|index| index.is_unique && !index.is_primary);
    let names: Vec<String> = others.map(|index| index.name.name.shown()).collect();
    if blueprint.forward.filter.is_some() && !names.is_empty() {
        notes.push(format!(
            "rows that are left out keep their unique values ({}): if the application gives such a value to another row, the \
             rollback stops until you change one of them",
            names.join(", ")
        ));
    }
    Rollback { lossless: notes.is_empty(), notes }
}

/// Columns whose type changes, old and new.
fn retyped<'a>(
    original: &'a Definition,
    new: &'a Definition,
    forward: &Mapping,
) -> Vec<(&'a Column, &'a Column)> {
    original
        .columns
        .iter()
        .filter_map(|old| {
            let output = forward.target_of(&old.name)?;
            let target = new.columns.iter().find(|column| column.name == output.name)?;
            (old.type_name != target.type_name).then_some((old, target))
        })
        .collect()
}

/// Whether an assignment cast of such values loses digits without an error.
/// <https://www.postgresql.org/docs/current/datatype-numeric.html>
fn loses_digits(from: &Column) -> bool {
    const TYPES: [&str; 8] =
        ["numeric", "float4", "float8", "timestamp", "timestamptz", "time", "timetz", "interval"];
    TYPES.contains(&from.base_name.as_str())
}

/// Whether every value of `from` fits `to`.
fn widens(from: &Column, to: &Column) -> bool {
    let size = |name: &str| match name {
        "int2" => Some(2),
        "int4" => Some(4),
        "int8" => Some(8),
        _ => None,
    };
    match (size(&from.base_name), size(&to.base_name)) {
        (Some(a), Some(b)) => a <= b,
        _ => cast::is_one_to_one(from, to) && (to.base_typmod < 0 || to.base_name == "varchar"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_disk_and_many_writes_are_said() {
        assert_eq!(disk_space("t", 5e9, 4e9), None);
        let said = disk_space("t", 3.5e9, 4e9).unwrap();
        assert!(said.message.starts_with("3.3 GB are free") && said.message.contains("3.7 GB"), "{said:?}");
        assert_eq!(hot_table("t", 4_000_000.0, 1000.0), None);
        assert_eq!(hot_table("t", 200_000.0, 1.0), None);
        assert!(hot_table("t", 6_000_000.0, 1000.0).unwrap().message.starts_with("about 6000 "));
    }
}
