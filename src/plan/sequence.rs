//! What happens to the sequences of serial and identity columns when two tables are exchanged.

use crate::catalog::{Definition, OwnedSequence};
use crate::name::Ident;

/// A serial sequence stays and changes its owner. An identity sequence belongs to the new table and takes over the
/// value.
#[derive(Debug, Clone)]
pub enum SequenceMove {
    /// OWNED BY changes to this column of the incoming table, and the type too if the column was widened.
    Owner {
        /// The sequence.
        sequence: OwnedSequence,
        /// The incoming table's column; `None` if there is no such column: the sequence is then dropped with the
        /// outgoing table.
        column: Option<Ident>,
        /// The type that it must have afterwards.
        type_name: Option<String>,
    },
    /// The incoming table's identity sequence takes over the value of the outgoing one.
    Value {
        /// The outgoing table's sequence.
        from: OwnedSequence,
        /// The incoming table's sequence, under its name before the exchange.
        to: OwnedSequence,
    },
}

/// Pairs the sequences of the two tables. `counterpart` names the incoming column of an outgoing one.
#[must_use]
pub fn moves(
    outgoing: &Definition,
    incoming: &Definition,
    counterpart: impl Fn(&Ident) -> Option<Ident>,
) -> Vec<SequenceMove> {
    outgoing
        .sequences
        .iter()
        .filter_map(|sequence| {
            let column = counterpart(&sequence.column);
            let target = column
                .as_ref()
                .and_then(|name| incoming.columns.iter().find(|candidate| candidate.name == *name));
            if sequence.is_identity {
                let to = incoming
                    .sequences
                    .iter()
                    .find(|other| other.is_identity && Some(&other.column) == column.as_ref())?;
                return Some(SequenceMove::Value { from: sequence.clone(), to: to.clone() });
            }
            // Widened with the column if both had the same type. A wider sequence stays as it is.
            let before = outgoing.columns.iter().find(|candidate| candidate.name == sequence.column);
            let type_name = target
                .map(|column| column.type_name.clone())
                .filter(|name| matches!(name.as_str(), "smallint" | "integer" | "bigint"))
                .filter(|name| *name != sequence.type_name)
                .filter(|_| before.is_some_and(|column| column.type_name == sequence.type_name));
            Some(SequenceMove::Owner { sequence: sequence.clone(), column, type_name })
        })
        .collect()
}
