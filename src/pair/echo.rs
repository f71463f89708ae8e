//! The echo: values that a reverse round keeps. A row of `to` may be more exact than the row of `from` that it was
//! converted to: 12.345 became 12.35. If somebody changes only the note, 12.345 must stay. So the row of `to` is mapped
//! forward (the echo) and compared by image with the row of `from`. Where they are equal, the value of `to` still
//! corresponds to the new one.

use super::Pair;
use crate::name::{Fragment, Ident, QualifiedName};
use crate::plan::mapping::{Origin, Output};

/// How the value of an output is determined.
enum Desired {
    /// The value of the mapping.
    Mapped,
    /// The existing value in `to`.
    Kept,
    /// The existing value in `to` while this condition holds; otherwise the value of the mapping.
    KeptWhile(String),
}

impl Pair {
    /// For each output, the value that `to` should have; `t` is the existing row.
    pub(super) fn desired(&self) -> Vec<String> {
        let outputs = self.mapping.columns().iter().enumerate();
        outputs
            .map(|(n, output)| {
                let (plain, kept) = (format!("f.c{}", n + 1), format!("t.{}", output.name));
                match self.desired_of(n, output) {
                    Desired::Mapped => plain,
                    Desired::Kept => kept,
                    Desired::KeptWhile(still) => format!("case when {still} then {kept} else {plain} end"),
                }
            })
            .collect()
    }

    /// Whether any output needs the echo.
    pub(super) fn needs_echo(&self) -> bool {
        let outputs = self.mapping.columns().iter().enumerate();
        outputs.into_iter().any(|(n, output)| matches!(self.desired_of(n, output), Desired::KeptWhile(_)))
    }

    fn desired_of(&self, n: usize, output: &Output) -> Desired {
        if output.origin == Origin::PerRow {
            return Desired::Kept;
        }
        let Some((place, there)) = self.way_there(output) else { return Desired::Mapped };
        if there.origin == Origin::Column && self.has_same_type(output) {
            return Desired::Mapped;
        }
        let equal = |left: &[String], right: &[String]| {
            format!(
                "row({})::record operator(pg_catalog.*=) row({})::record",
                left.join(", "),
                right.join(", ")
            )
        };
        if there.origin != Origin::UsingOthers {
            return Desired::KeptWhile(equal(&[format!("g.c{place}")], &[format!("f.r{}", n + 1)]));
        }
        // A value that depends on other columns too is kept only if everything except the key is equal.
        let is_key = |n: usize| self.key.0.iter().any(|key| key.output == Some(n));
        let (there, here): (Vec<_>, Vec<_>) = self
            .mapping
            .columns()
            .iter()
            .enumerate()
            .filter(|(n, _)| !is_key(*n))
            .filter_map(|(n, output)| {
                Some((format!("g.c{}", self.way_there(output)?.0), format!("f.r{}", n + 1)))
            })
            .unzip();
        Desired::KeptWhile(equal(&there, &here))
    }

    /// The output of the forward mapping that filled `from` from this column of `to`: its position, from 1.
    fn way_there(&self, output: &Output) -> Option<(usize, &Output)> {
        let (forward, from) = self.echo.as_ref().zip(output.from.as_ref())?;
        let place = forward.columns().iter().position(|o| o.name == *from)?;
        Some((place + 1, &forward.columns()[place]))
    }

    fn has_same_type(&self, output: &Output) -> bool {
        let to = self.to_columns.iter().find(|column| column.name == output.name);
        let from = self.from_columns.iter().find(|column| Some(&column.name) == output.from.as_ref());
        to.map(|column| &column.type_name) == from.map(|column| &column.type_name)
    }

    /// The echo of a table's rows, as an additional FROM item.
    pub(super) fn echo_source(&self, table: &QualifiedName) -> Fragment {
        match &self.echo {
            Some(echo) if self.needs_echo() => {
                Fragment::trusted(format!(", {} g", echo.source_as(table, &self.to.name, &[])))
            }
            _ => Fragment::trusted(""),
        }
    }

    pub(super) fn echo_matches(&self) -> Fragment {
        Fragment::trusted(if self.needs_echo() { " and g.tid = t.ctid" } else { "" })
    }

    /// Columns of `to` that no column of `from` fills.
    #[must_use]
    pub fn kept_columns(&self) -> Vec<&Ident> {
        self.to_columns
            .iter()
            .filter(|column| !column.is_generated)
            .map(|column| &column.name)
            .filter(|name| !self.mapping.columns().iter().any(|output| output.name == **name))
            .collect()
    }

    /// These columns as the continuation of a list.
    pub(super) fn kept(&self, separator: &str) -> Fragment {
        let columns = self.kept_columns();
        Fragment::join(
            std::iter::once(String::new()).chain(columns.iter().map(ToString::to_string)),
            separator,
        )
    }
}
