//! Changes without a copy. An action that changes only the catalog runs as it is, under a short lock. An action that
//! only reads all rows is performed in steps that read them while the application continues.
//!
//! Pure: the input is two definitions of a table, before and after an action ran on its empty clone. The output is the
//! steps that lead from one to the other. A trial on the clone verifies that they do, and that no step reads rows under
//! a strong lock.

use super::question::shown_key;
use super::report::StepShown;
use super::risk::Code;
use super::sequence::{identity_of, serial_of};
use crate::alter::{Action, ActionKind, LockMode, retarget};
use crate::catalog::{Check, Column, Definition, ForeignKey, Index};
use crate::name::{Fragment, Ident, Literal, QualifiedName};

/// How a step runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// In a transaction that locks the table, and tables at the other ends of foreign keys, in this mode, for at most
    /// `--max-lock-time`.
    UnderLock {
        /// The mode.
        mode: LockMode,
        /// Tables with a foreign key to this table.
        leading: Vec<QualifiedName>,
        /// Tables that this table references.
        following: Vec<QualifiedName>,
        /// The constraint that the step creates NOT VALID, and that `abort` can drop.
        makes: Option<Ident>,
    },
    /// In a transaction that blocks neither readers nor writers, without a time limit.
    Online,
    /// Outside of a transaction: the step creates this index.
    MakeIndex(Ident),
    /// Outside of a transaction: the step drops the index with this oid, whatever its name is by then.
    DropIndex(u32),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How it runs.
    pub how: How,
    /// Its statements, in order.
    pub statements: Vec<String>,
}

impl Step {
    fn new(how: How, statements: Vec<String>) -> Self {
        Step { how, statements }
    }

    /// Whether it creates a constraint that is not validated yet.
    #[must_use]
    pub fn refuses_rows(&self) -> bool {
        matches!(self.how, How::UnderLock { makes: Some(_), .. })
    }

    /// Whether it takes only a moment.
    #[must_use]
    pub fn is_short(&self) -> bool {
        matches!(self.how, How::UnderLock { .. })
    }

    /// The form that `plan` shows.
    #[must_use]
    pub fn shown(&self) -> StepShown {
        let (lock, tables) = match &self.how {
            How::UnderLock { mode, leading, following, .. } => {
                (*mode, leading.iter().chain(following).map(QualifiedName::shown).collect())
            }
            How::Online | How::MakeIndex(_) | How::DropIndex(_) => {
                (LockMode::ShareUpdateExclusive, Vec::new())
            }
        };
        StepShown {
            lock: lock.as_str().into(),
            tables,
            is_short: self.is_short(),
            statements: self.statements.clone(),
        }
    }

    /// The statements for a transaction on the empty clone.
    #[must_use]
    pub fn on_clone(&self) -> Vec<String> {
        match self.how {
            How::MakeIndex(_) | How::DropIndex(_) => {
                self.statements.iter().map(|text| text.replacen(" CONCURRENTLY", "", 1)).collect()
            }
            _ => self.statements.clone(),
        }
    }
}

/// A condition that all rows must satisfy for a step to succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The code of the risk if they do not.
    pub code: Code,
    /// The column or constraint.
    pub object: String,
    /// A query for the rows that violate it, with the column `shown`; empty if there is none.
    pub offenders: String,
    /// The rest of the sentence after their number, or why there is no query.
    pub words: &'static str,
}

/// The steps for an action that reads rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recipe {
    /// The conditions that the steps verify.
    pub proofs: Vec<Proof>,
    /// Steps that run first, one after the other.
    pub before: Vec<Step>,
    /// The last statements, which change only the catalog. They run together with the last statements of the other
    /// actions.
    pub last: Vec<String>,
}

/// The steps from one definition to the other, if there are any. `at` maps the name of a table at the time when the
/// definitions were read to its current name.
#[must_use]
pub fn recipe(
    before: &Definition,
    after: &Definition,
    at: impl Fn(&QualifiedName) -> QualifiedName,
) -> Option<Recipe> {
    let mut recipe = Recipe::default();
    let clone = &after.table.name;
    let table = at(clone);
    let key = shown_key(before, |_, column| column.to_string(), "ctid");
    for column in &after.columns {
        let old = before.columns.iter().find(|old| old.number == column.number);
        if old.is_some_and(|old| column.is_not_null && !old.is_not_null) {
            match before.checks.iter().find(|check| check.not_null == Some(column.number)) {
                Some(there) => recipe.before.push(validate(&table, &there.name)),
                None => not_null(&mut recipe, &table, column, &free_name(before, column)),
            }
            recipe.proofs.push(Proof {
                code: Code::Nulls,
                object: format!("{}.{}", table.shown(), column.name.shown()),
                offenders: format!("select {key} as shown from only {table} where {} is null", column.name),
                words: "are NULL in a column that becomes NOT NULL",
            });
        }
    }
    let is_new = |index: &&Index| !before.indexes.iter().any(|old| old.oid == index.oid);
    for index in after.indexes.iter().filter(is_new) {
        make_index(&mut recipe, &table, clone, index)?;
        recipe.proofs.extend(no_duplicates(after, &table, index));
    }
    for check in after.checks.iter().filter(|check| check.not_null.is_none()) {
        let old = before.checks.iter().find(|old| old.name == check.name);
        match old {
            None if check.is_valid => {
                let add = format!(
                    "alter table {table} add constraint {} {} not valid",
                    check.name, check.definition
                );
                recipe.before.push(Step::new(making(&check.name), vec![add]));
                recipe.before.push(validate(&table, &check.name));
                recipe.proofs.push(fulfilled(&table, &key, check));
            }
            Some(old) if check.is_valid && !old.is_valid => {
                recipe.before.push(validate(&table, &check.name));
                recipe.proofs.push(fulfilled(&table, &key, check));
            }
            _ => {}
        }
    }
    let shown = key;
    for key in after.foreign_keys.iter().filter(|key| key.child == *clone) {
        match before.foreign_keys.iter().find(|old| old.oid == key.oid) {
            None if key.is_valid => {
                let parent = at(&key.parent);
                let clause = key.clause(&parent);
                let add = format!("alter table {table} add constraint {} {clause} not valid", key.name);
                let following = if parent == table { Vec::new() } else { vec![parent.clone()] };
                let how = How::UnderLock {
                    mode: LockMode::ShareRowExclusive,
                    leading: Vec::new(),
                    following,
                    makes: Some(key.name.clone()),
                };
                recipe.before.push(Step::new(how, vec![add]));
                recipe.before.push(validate(&table, &key.name));
                recipe.proofs.push(no_orphans(&table, &parent, &shown, key));
            }
            Some(old) if key.is_valid && !old.is_valid => {
                recipe.before.push(validate(&table, &key.name));
                recipe.proofs.push(no_orphans(&table, &at(&key.parent), &shown, key));
            }
            _ => {}
        }
    }
    (recipe != Recipe::default()).then_some(recipe)
}

/// A valid check proves that there is no NULL, and SET NOT NULL then reads no rows.
/// <https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL>
fn not_null(recipe: &mut Recipe, table: &QualifiedName, column: &Column, check: &Ident) {
    let name = &column.name;
    let add = format!("alter table {table} add constraint {check} check ({name} is not null) not valid");
    recipe.before.push(Step::new(making(check), vec![add]));
    recipe.before.push(validate(table, check));
    recipe.last.push(format!("alter table {table} alter column {name} set not null"));
    recipe.last.push(format!("alter table {table} drop constraint if exists {check}"));
}

/// A name that no constraint of the table has.
fn free_name(before: &Definition, column: &Column) -> Ident {
    let base = format!("pgrecast_not_null_{}", column.number);
    let is_taken = |name: &Ident| {
        before.checks.iter().any(|check| check.name == *name)
            || before.foreign_keys_out().any(|key| key.name == *name)
            || before.indexes.iter().any(|index| index.name.name == *name)
            || before.triggers.iter().any(|trigger| trigger.name == *name)
    };
    let numbered = (1..).map(|n| Ident::new(format!("{base}_{n}")));
    std::iter::once(Ident::new(base.clone()))
        .chain(numbered)
        .find(|name| !is_taken(name))
        .unwrap_or(Ident::new(base))
}

fn make_index(
    recipe: &mut Recipe,
    table: &QualifiedName,
    clone: &QualifiedName,
    index: &Index,
) -> Option<()> {
    let name = &index.name.name;
    if index.is_made_by_constraint() || index.tablespace.is_some() {
        return None;
    }
    let definition = retarget(&index.definition, clone, table).ok()?.to_string();
    let create = definition.replacen("INDEX ", "INDEX CONCURRENTLY ", 1);
    recipe.before.push(Step::new(How::MakeIndex(name.clone()), vec![create]));
    if let Some(kind) = index.constraint_kind {
        recipe.last.push(format!(
            "alter table {table} add constraint {name} {} using index {name}{}",
            kind.words(),
            index.deferrable()
        ));
    }
    Some(())
}

fn fulfilled(table: &QualifiedName, key: &Fragment, check: &Check) -> Proof {
    // `CHECK ((..)) NO INHERIT` is the format of pg_get_constraintdef.
    let text = check.definition.strip_prefix("CHECK ").unwrap_or(&check.definition);
    let text = text.strip_suffix(" NO INHERIT").unwrap_or(text);
    Proof {
        code: Code::CheckViolations,
        object: format!("{}.{}", table.shown(), check.name.shown()),
        offenders: format!("select {key} as shown from only {table} where not {text}"),
        words: "violate it",
    }
}

fn no_orphans(table: &QualifiedName, parent: &QualifiedName, key: &Fragment, foreign: &ForeignKey) -> Proof {
    let columns = || foreign.child_columns.iter();
    let given = columns().map(|column| format!("{column} is not null")).collect::<Vec<_>>().join(" and ");
    let pairs =
        columns().zip(&foreign.parent_columns).map(|(child, parent)| format!("p.{parent} = c.{child}"));
    let matches = pairs.collect::<Vec<_>>().join(" and ");
    Proof {
        code: Code::Orphans,
        object: format!("{}.{}", table.shown(), foreign.name.shown()),
        offenders: format!(
            "select {key} as shown from only {table} c where {given} and not exists (select from {parent} p where {matches})"
        ),
        words: "reference a row that does not exist",
    }
}

/// For an index on plain columns. For an index with expressions or a condition, only the build finds duplicates.
fn no_duplicates(after: &Definition, table: &QualifiedName, index: &Index) -> Option<Proof> {
    if !index.is_unique {
        return None;
    }
    let object = format!("{}.{}", table.shown(), index.name.name.shown());
    if index.is_partial || index.has_expressions {
        return Some(Proof {
            code: Code::Duplicates,
            object,
            offenders: String::new(),
            words: "the index is partial or on an expression",
        });
    }
    let columns: Vec<&Column> = index.key_columns.iter().filter_map(|number| after.column(*number)).collect();
    let names = Fragment::join(columns.iter().map(|column| &column.name), ", ");
    let given = if index.definition.contains("NULLS NOT DISTINCT") {
        "true".to_owned() // NULLs are equal, as in GROUP BY
    } else {
        columns.iter().map(|column| format!("{} is not null", column.name)).collect::<Vec<_>>().join(" and ")
    };
    Some(Proof {
        code: Code::Duplicates,
        object,
        offenders: format!(
            "select row({names})::text || ', ' || count(*) || ' times' as shown from only {table} where {given} \
             group by {names} having count(*) > 1"
        ),
        words: "occur more than once in columns that become unique",
    })
}

fn validate(table: &QualifiedName, constraint: &Ident) -> Step {
    Step::new(How::Online, vec![format!("alter table {table} validate constraint {constraint}")])
}

fn making(constraint: &Ident) -> How {
    How::UnderLock {
        mode: LockMode::AccessExclusive,
        leading: Vec::new(),
        following: Vec::new(),
        makes: Some(constraint.clone()),
    }
}

/// The foreign keys whose other tables an action locks too: keys that it adds or drops, and keys whose columns change
/// their type.
#[must_use]
pub fn locked_too(action: &Action, before: &Definition, after: &Definition) -> Vec<ForeignKey> {
    let has = |list: &[ForeignKey], key: &ForeignKey| list.iter().any(|other| other.oid == key.oid);
    let retyped = match &action.kind {
        ActionKind::SetType { column, .. } => {
            before.columns.iter().find(|c| c.name == *column).map(|c| c.number)
        }
        _ => None,
    };
    let is_on = |key: &ForeignKey| {
        let own = before.table.oid;
        let numbers = |oid: u32, numbers: &[i16]| oid == own && retyped.is_some_and(|n| numbers.contains(&n));
        numbers(key.child_oid, &key.child_numbers) || numbers(key.parent_oid, &key.parent_numbers)
    };
    let gone = before.foreign_keys.iter().filter(|key| !has(&after.foreign_keys, key) || is_on(key));
    let new = after.foreign_keys.iter().filter(|key| !has(&before.foreign_keys, key));
    gone.chain(new).filter(|key| !key.is_self_referencing()).cloned().collect()
}

/// For serial columns of `original` that become identities: the statements that set the new sequences to the values of
/// the serials' sequences. `table` is the table or its clone; the serials' sequences are the real ones. No session can
/// insert rows under the lock.
#[must_use]
pub fn go_on(
    original: &Definition,
    before: &Definition,
    after: &Definition,
    table: &QualifiedName,
) -> Vec<String> {
    let is_new = |column: &&Column| {
        identity_of(after, &column.name)
            .is_some_and(|one| before.sequences.iter().all(|old| old.oid != one.oid))
    };
    let serial = |column: &Column| serial_of(original, &original.column(column.number)?.name);
    let columns = after.columns.iter().filter(is_new);
    columns.filter_map(|column| Some(set_identity(table, column.number, &serial(column)?.name))).collect()
}

/// Finds the identity in the catalog, because the server chooses its name. Never sets it back, or beyond its limits.
fn set_identity(table: &QualifiedName, column: i16, serial: &QualifiedName) -> String {
    let table = Literal(&table.to_string()).to_string();
    format!(
        "select pg_catalog.setval(d.objid::pg_catalog.regclass, s.last_value, s.is_called) from {serial} s, \
         pg_catalog.pg_depend d join pg_catalog.pg_sequence q on q.seqrelid = d.objid where d.refobjid = \
         {table}::pg_catalog.regclass and d.refobjsubid = {column} and d.deptype = 'i' and s.last_value between \
         q.seqmin and q.seqmax and case when q.seqincrement > 0 then s.last_value >= q.seqstart else s.last_value <= \
         q.seqstart end"
    )
}

/// The step that drops an index.
#[must_use]
pub fn drop_index(index: &QualifiedName, oid: u32) -> Step {
    Step::new(How::DropIndex(oid), vec![format!("drop index CONCURRENTLY {index}")])
}
