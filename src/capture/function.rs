//! The definitions of the capture functions and triggers.

use crate::name::{Fragment, Ident, QualifiedName, sql};
use crate::pair::Direction;
use crate::state::TableChange;

/// The capture function that writes to this segment of the log.
#[must_use]
pub(super) fn row_function(function: &QualifiedName, segment: &QualifiedName, key: &[&Ident]) -> String {
    let both = |old: &str, new: &str, part: fn(&str, usize, &Ident) -> String| {
        let of =
            |prefix: &str| key.iter().enumerate().map(|(n, c)| part(prefix, n + 1, c)).collect::<Vec<_>>();
        Fragment::join(of(old).into_iter().chain(of(new)), ", ")
    };
    sql!("capture/create_function.sql")
        .fill("function", function)
        .fill("log", segment)
        .fill("columns", &both("o", "n", |prefix, n, _| format!("{prefix}{n}")))
        .fill("values", &both("old", "new", |record, _, column| format!("{record}.{column}")))
        .text()
}

/// The statements that create the triggers of one direction on a table.
#[must_use]
pub fn trigger_statements(change: &TableChange, direction: Direction, table: &QualifiedName) -> String {
    sql!("capture/create_triggers.sql")
        .fill("table", table)
        .fill("moment", &Fragment::trusted(if has_more(change, direction) { "before" } else { "after" }))
        .fill("row_function", &change.own(&format!("capture_{}", direction.as_str())))
        .fill("truncate_function", &change.own(&format!("truncate_{}", direction.as_str())))
        .text()
}

/// Whether the target table has rows that the source table never had: those that `--where` left out. A TRUNCATE of the
/// source does not apply to them.
pub(super) fn has_more(change: &TableChange, direction: Direction) -> bool {
    direction == Direction::Reverse && change.asked.filter.is_some()
}

/// Escapes text for a literal that `format` reads.
pub(super) fn in_literal(text: &Fragment) -> Fragment {
    Fragment::trusted(text.as_str().replace('\'', "''").replace('%', "%%"))
}

/// The names of our triggers. Triggers of one kind fire in the order of their names. Ours must fire before any that
/// writes to the same table, so that it logs changes in the order in which they are made.
/// <https://www.postgresql.org/docs/current/trigger-definition.html>
#[must_use]
pub fn trigger_names() -> [Ident; 2] {
    [Ident::new("!pgrecast_capture"), Ident::new("!pgrecast_capture_truncate")]
}
