//! The key that identifies rows in both tables, and how a logged key is compared with each of them.

use crate::catalog::Column;
use crate::name::{Fragment, Literal};
use crate::plan::Mapping;
use crate::plan::cast::{assign, image, is_one_to_one};
use crate::plan::mapping::Origin;

/// A column of the shared key, on both sides.
#[derive(Debug, Clone)]
pub struct KeyPart {
    /// The column of `from`.
    pub from: Column,
    /// The column of `to`.
    pub to: Column,
    /// The equality of `from`'s index.
    pub from_operator: Fragment,
    /// The equality of `to`'s index.
    pub to_operator: Fragment,
    /// Index of the mapping's output that fills `to`, from 0. `None`: the server computes the column in both tables from
    /// the same values.
    pub output: Option<usize>,
}

impl KeyPart {
    /// The value in `to` for a row `f` of the source; `place` is the index of this part in the key, from 0.
    pub(super) fn value(&self, place: usize) -> Fragment {
        Fragment::trusted(match self.output {
            Some(output) => format!("f.c{}", output + 1),
            None => format!("f.k{}", place + 1),
        })
    }
}

/// The shared key.
#[derive(Debug, Clone)]
pub(super) struct Key(pub(super) Vec<KeyPart>);

impl Key {
    /// The key's columns under a prefix: `k1, k2`.
    pub(super) fn numbered(&self, prefix: &str) -> Fragment {
        Fragment::join((1..=self.0.len()).map(|n| format!("{prefix}{n}")), ", ")
    }

    /// The same with aliases: `n1 as k1, n2 as k2`.
    pub(super) fn renamed(&self, prefix: &str, name: &str) -> Fragment {
        Fragment::join((1..=self.0.len()).map(|n| format!("{prefix}{n} as {name}{n}")), ", ")
    }

    /// The key in readable form: `id = 17, tenant = 'a'`.
    pub(super) fn shown(&self, values: impl Iterator<Item = String>) -> Fragment {
        let parts = self.0.iter().zip(values).map(|(key, value)| {
            let label = format!("{} = ", key.from.name.shown());
            format!("{} || ({value})::pg_catalog.text", Literal(&label))
        });
        Fragment::join(parts, " || ', ' || ")
    }

    /// The condition that two keys of `from`'s types are equal; `left` and `right` are prefixes.
    pub(super) fn matches(&self, left: &str, right: &str) -> Fragment {
        let terms = self.0.iter().enumerate();
        Fragment::join(
            terms.map(|(n, key)| format!("{left}{0} {1} {right}{0}", n + 1, key.from_operator)),
            " and ",
        )
    }

    /// The condition for the `to` row of a logged key, whose columns are `prefix` and a number.
    pub(super) fn to_matches(&self, prefix: &str) -> Fragment {
        let terms = self.0.iter().enumerate().map(|(n, key)| {
            let logged = Fragment::trusted(format!("{prefix}{}", n + 1));
            let mapped = if key.from.type_name == key.to.type_name {
                logged
            } else {
                match comparable(&logged, &key.from, &key.to) {
                    Some((operator, value)) => {
                        return format!("t.{} {operator} {}", key.to.name, collated(&value, &key.to));
                    }
                    None => assign(&logged, &key.to),
                }
            };
            format!("t.{} {} {}", key.to.name, key.to_operator, collated(&mapped, &key.to))
        });
        Fragment::join(terms, " and ")
    }

    /// The condition for the `to` row of a source row `f`.
    pub(super) fn to_matches_source(&self) -> Fragment {
        let terms = self.0.iter().enumerate().map(|(n, key)| {
            format!("t.{} {} {}", key.to.name, key.to_operator, collated(&key.value(n), &key.to))
        });
        Fragment::join(terms, " and ")
    }

    /// The condition that a log entry changes the key of a row.
    pub(super) fn moves(&self) -> Fragment {
        Fragment::trusted(format!(
            "o1 is distinct from null and n1 is distinct from null \
             and row({})::record operator(pg_catalog.*<>) row({})::record",
            self.numbered("o"),
            self.numbered("n")
        ))
    }

    /// The key of a log entry that does not change a key: the new key, or the old key of a deleted row.
    pub(super) fn logged(&self) -> impl Iterator<Item = String> {
        (1..=self.0.len()).map(|n| format!("case when n1 is distinct from null then n{n} else o{n} end"))
    }

    /// A hash that is the same for all entries of one key.
    pub(super) fn logged_hash(&self) -> Fragment {
        let images = self.0.iter().zip(self.logged());
        let images = images.map(|(key, logged)| image(&Fragment::trusted(logged), &key.from));
        Fragment::trusted(format!(
            "pg_catalog.hash_record_extended(row({})::record, 0)",
            Fragment::join(images, ", ")
        ))
    }

    /// Whether different keys of `from` are certainly different in `to`, by this mapping.
    pub(super) fn is_kept_apart(&self, mapping: &Mapping) -> bool {
        mapping.levels.len() == 1
            && self.0.iter().all(|key| {
                let origin = key.output.map_or(Origin::Column, |output| mapping.columns()[output].origin);
                key.from.collation == key.to.collation
                    && is_one_to_one(&key.from, &key.to)
                    && matches!(origin, Origin::Column | Origin::Cast)
            })
    }
}

/// A logged key for a comparison with the key of `to`, without a conversion that fails if the key does not fit: its row
/// may be deleted since, and then the key does not matter. The operators belong to the btree families of the types, so
/// that the index is used.
fn comparable(logged: &Fragment, from: &Column, to: &Column) -> Option<(&'static str, Fragment)> {
    const EQUAL: &str = "operator(pg_catalog.=)";
    let is_plain = |column: &Column, names: &[&str]| {
        column.base_schema == "pg_catalog" && !column.is_domain && names.contains(&column.base_name.as_str())
    };
    let both = |names: &[&str]| is_plain(from, names) && is_plain(to, names);
    if both(&["int2", "int4", "int8"]) {
        return Some((EQUAL, logged.clone()));
    }
    let text = || Fragment::trusted(format!("({logged})::pg_catalog.text"));
    both(&["text", "varchar"]).then(|| (EQUAL, text()))
}

/// Values of different collations can only be compared with an explicit collation: that of the column, which is also
/// that of its index.
fn collated(value: &Fragment, column: &Column) -> Fragment {
    match &column.collation {
        Some(collation) => Fragment::trusted(format!("({value}) collate {collation}")),
        None => value.clone(),
    }
}
