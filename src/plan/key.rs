//! The shared key: the columns that identify a row in both tables.

use crate::catalog::{Column, Definition, Index};
use crate::error::Code;
use crate::name::{Fragment, Ident};

use super::cast::is_one_to_one;
use super::mapping::Mapping;

/// A column of the shared key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name in the original.
    pub original: Ident,
    /// Its name in the new shape.
    pub new: Ident,
    /// The equality operator of the original's index, in full.
    pub original_operator: Fragment,
    /// The equality operator of the new shape's index, in full.
    pub new_operator: Fragment,
}

/// Why there is no shared key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoKey {
    /// Whether the table has no key, or the change leaves none.
    pub code: Code,
    /// A sentence.
    pub why: String,
    /// What the user can do.
    pub hint: String,
}

impl NoKey {
    fn of_table(original: &Definition) -> Self {
        let hint = match original.indexes.iter().find(|index| index.can_identify_rows()) {
            Some(index) => {
                let nullable = columns_of(original, index).into_iter().filter(|column| !column.is_not_null);
                let names: Vec<String> = nullable.map(|column| column.name.shown()).collect();
                format!(
                    "Index {} would be sufficient, but {} may be NULL: run `alter column .. set not null` first.",
                    index.name.name.shown(),
                    names.join(", ")
                )
            }
            None => "Add a primary key, or a unique index on NOT NULL columns that is not deferrable.".into(),
        };
        let why = "it has no primary key and no unique index on NOT NULL columns".into();
        NoKey { code: Code::NoKey, why, hint }
    }

    fn left_by_change(why: &str) -> Self {
        let hint = "Do not change one of the keys, or first add another one: a primary key, or a unique index on NOT NULL columns.";
        NoKey { code: Code::KeyChanged, why: why.into(), hint: hint.into() }
    }
}

/// Finds the smallest set of columns that is unique, NOT NULL and the same in both shapes.
///
/// # Errors
/// The reason why there is none.
pub fn shared_key(
    original: &Definition,
    new: &Definition,
    forward: &Mapping,
    is_free: impl Fn(&Ident) -> bool,
    is_added: impl Fn(&Ident) -> bool,
) -> Result<Vec<KeyColumn>, NoKey> {
    let old_keys = identifying(original);
    let new_keys = identifying(new);
    if old_keys.is_empty() {
        return Err(NoKey::of_table(original));
    }
    if new_keys.is_empty() {
        let why = "the new shape has no primary key and no unique index on NOT NULL columns";
        return Err(NoKey::left_by_change(why));
    }
    let pair_of = |column: &Column| -> Option<(Column, Column)> {
        let target = match forward.target_of(&column.name) {
            Some(output) => new.columns.iter().find(|c| c.name == output.name)?,
            None => new.columns.iter().find(|c| is_computed_alike(column, c) && !is_added(&c.name))?,
        };
        let is_never_null = column.is_not_null && target.is_not_null;
        let usable = is_never_null && is_free(&column.name) && is_one_to_one(column, target);
        usable.then(|| (column.clone(), target.clone()))
    };
    // The keys of both shapes as pairs of columns, if each of their columns has a counterpart.
    let old_sets = old_keys.iter().map(|index| {
        columns_of(original, index).iter().map(|column| pair_of(column)).collect::<Option<Vec<_>>>()
    });
    let new_sets = new_keys.iter().map(|index| {
        columns_of(new, index)
            .iter()
            .map(|target| {
                let from = match forward.columns().iter().find(|output| output.name == target.name) {
                    Some(output) => output.from.as_ref()?,
                    None => &target.name,
                };
                pair_of(original.columns.iter().find(|column| column.name == *from)?)
            })
            .collect::<Option<Vec<_>>>()
    });
    for set in old_sets.chain(new_sets).flatten() {
        let old_numbers: Vec<i16> = set.iter().map(|(old, _)| old.number).collect();
        let new_numbers: Vec<i16> = set.iter().map(|(_, target)| target.number).collect();
        let is_within =
            |index: &&Index, numbers: &[i16]| index.key_columns.iter().all(|n| numbers.contains(n));
        let is_unique = |keys: &[&Index], numbers: &[i16]| keys.iter().any(|index| is_within(index, numbers));
        if !is_unique(&old_keys, &old_numbers) || !is_unique(&new_keys, &new_numbers) {
            continue;
        }
        // Another unique index within the same set may have fewer columns.
        let operator_of = |keys: &[&Index], numbers: &[i16], column: i16| {
            keys.iter().filter(|index| is_within(index, numbers)).find_map(|index| operator(index, column))
        };
        let columns: Option<Vec<KeyColumn>> = set
            .iter()
            .map(|(old, target)| {
                let of_old = operator_of(&old_keys, &old_numbers, old.number);
                let of_new = operator_of(&new_keys, &new_numbers, target.number);
                let same_type = old.has_type_of(target);
                let other = |operator: &Option<Fragment>| operator.clone().filter(|_| same_type);
                Some(KeyColumn {
                    original: old.name.clone(),
                    new: target.name.clone(),
                    original_operator: of_old.clone().or_else(|| other(&of_new))?,
                    new_operator: of_new.or_else(|| other(&of_old))?,
                })
            })
            .collect();
        if let Some(columns) = columns {
            return Ok(columns);
        }
    }
    let why = "the shapes share no key: no set of NOT NULL columns is unique in both and has values that map one to one";
    Err(NoKey::left_by_change(why))
}

/// Whether the server computes both from the same columns by the same expression. The type of a column that a generated
/// column reads cannot be altered, so these columns have the same values too.
fn is_computed_alike(old: &Column, new: &Column) -> bool {
    old.is_generated
        && new.is_generated
        && old.name == new.name
        && old.has_type_of(new)
        && old.default_expression == new.default_expression
}

/// Whether this index of the new shape is the one that makes the shared key unique.
#[must_use]
pub fn is_key_index(index: &Index, new: &Definition, key: &[KeyColumn]) -> bool {
    index.can_identify_rows()
        && columns_of(new, index).iter().all(|c| key.iter().any(|column| column.new == c.name))
}

fn identifying(definition: &Definition) -> Vec<&Index> {
    let mut keys: Vec<&Index> = definition
        .indexes
        .iter()
        .filter(|index| {
            index.can_identify_rows() && columns_of(definition, index).iter().all(|c| c.is_not_null)
        })
        .collect();
    keys.sort_by_key(|index| (!index.is_primary, index.key_columns.len(), index.name.clone()));
    keys
}

fn columns_of<'a>(definition: &'a Definition, index: &Index) -> Vec<&'a Column> {
    index.key_columns.iter().filter_map(|number| definition.column(*number)).collect()
}

fn operator(index: &Index, column: i16) -> Option<Fragment> {
    let place = index.key_columns.iter().position(|number| *number == column)?;
    index.equality_operators.get(place).cloned()
}
