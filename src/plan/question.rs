//! The conditions that `--check-data` evaluates on the rows. Pure: derived from the plan.

use super::Blueprint;
use super::risk::Code;
use crate::catalog::{Column, Definition};
use crate::name::{Fragment, Ident, Literal};

/// A condition on rows that the user should know about before the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The code of the risk.
    pub code: Code,
    /// The column or constraint.
    pub object: String,
    /// The SQL condition, on a mapping's source with the alias `f`.
    pub condition: String,
    /// The rest of the sentence after the number of rows.
    pub words: String,
}

/// Types without an equality operator.
const WITHOUT_EQUALITY: [&str; 6] = ["json", "xml", "point", "polygon", "path", "txid_snapshot"];

/// The conditions for the rows of a copy. `is_given` says whether the user gave `--reverse` for a column: then its
/// value after a rollback is not checked.
#[must_use]
pub fn of_copy(
    original: &Definition,
    blueprint: &Blueprint,
    is_given: impl Fn(&Ident) -> bool,
) -> Vec<Question> {
    let mut questions = Vec::new();
    let table = original.table.name.shown();
    for (n, output) in blueprint.forward.columns().iter().enumerate() {
        let Some(target) = blueprint.new.columns.iter().find(|column| column.name == output.name) else {
            continue;
        };
        let source =
            output.from.as_ref().and_then(|from| original.columns.iter().find(|column| column.name == *from));
        let object = format!("{table}.{}", target.name.shown());
        if target.is_not_null
            && source.is_none_or(|source| !source.is_not_null || source.type_name != target.type_name)
        {
            questions.push(Question {
                code: Code::Nulls,
                object: object.clone(),
                condition: format!("f.c{} is null", n + 1),
                words: "are NULL in a column that becomes NOT NULL".into(),
            });
        }
        if let Some(source) = source.filter(|source| source.type_name != target.type_name)
            && !is_given(&source.name)
            && can_compare(source)
        {
            questions.push(Question {
                code: Code::ValuesChange,
                object,
                condition: format!("f.r{0} is distinct from (f.c{0})::{1}", n + 1, source.type_name),
                words: format!(
                    "have a value that {} cannot hold unchanged: it would be rounded, truncated or shifted",
                    target.type_name
                ),
            });
        }
    }
    questions
}

fn can_compare(column: &Column) -> bool {
    !WITHOUT_EQUALITY.contains(&column.base_name.as_str())
}

/// The key of a row as text, or its position if there is no key. `name` gives the name of a column in the query, from its
/// index in the key and its name in the table.
#[must_use]
pub fn shown_key(original: &Definition, name: impl Fn(usize, &Ident) -> String, place: &str) -> Fragment {
    let key = original.indexes.iter().find(|index| index.is_primary);
    let parts: Vec<String> = key
        .iter()
        .flat_map(|key| &key.key_columns)
        .filter_map(|number| original.column(*number))
        .enumerate()
        .map(|(n, column)| {
            let label = format!("{} = ", column.name.shown());
            format!("{} || ({})::pg_catalog.text", Literal(&label), name(n, &column.name))
        })
        .collect();
    let place = format!("'at ' || ({place})::pg_catalog.text");
    Fragment::trusted(if parts.is_empty() { place } else { parts.join(" || ', ' || ") })
}
