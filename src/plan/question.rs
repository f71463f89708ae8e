//! What `--check-data` asks of the rows: pure, from the plan to conditions.

use super::Blueprint;
use super::risk::Code;
use crate::catalog::{Column, Definition};
use crate::name::{Fragment, Ident, Literal};

/// Something that may be true of rows and is to be known before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The code of the risk.
    pub code: Code,
    /// The column or constraint.
    pub object: String,
    /// True of such a row; over a mapping's source called `f`.
    pub condition: String,
    /// What it means, after the number of rows.
    pub words: String,
}

/// Types without an equality of their own.
const WITHOUT_EQUALITY: [&str; 6] = ["json", "xml", "point", "polygon", "path", "txid_snapshot"];

/// What is to be asked of the rows that are to be copied. `is_given` says whether the way back of a column was given:
/// then what comes back is not for us to judge.
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
                words: "are NULL in a column that is to be NOT NULL".into(),
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
                    "have a value that {} does not hold as it is: it is rounded, cut or moved",
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

/// The key of a row as a person reads it; where it stands, if there is no key. `name` is how a column is called there.
#[must_use]
pub fn shown_key(original: &Definition, name: impl Fn(&Ident) -> String, place: &str) -> Fragment {
    let key = original.indexes.iter().find(|index| index.is_primary);
    let parts: Vec<String> = key
        .iter()
        .flat_map(|key| &key.key_columns)
        .filter_map(|number| original.column(*number))
        .map(|column| {
            let label = format!("{} = ", column.name.shown());
            format!("{} || ({})::pg_catalog.text", Literal(&label), name(&column.name))
        })
        .collect();
    let place = format!("'at ' || ({place})::pg_catalog.text");
    Fragment::trusted(if parts.is_empty() { place } else { parts.join(" || ', ' || ") })
}
