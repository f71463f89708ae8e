//! What happens to the sequences of serial and identity columns when two tables are exchanged.

use crate::catalog::{Definition, OwnedSequence};
use crate::name::Ident;

/// A serial sequence stays and changes its owner. An identity sequence belongs to the new table and takes over the
/// value. If a serial becomes an identity, both apply: the column still owns the serial's sequence, as after a plain
/// ALTER. The new identity takes over its value, and returns it in a rollback.
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
        /// Whether it keeps its value if that is further: the change may have set its start.
        only_forward: bool,
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
                return Some(SequenceMove::Value {
                    from: sequence.clone(),
                    to: to.clone(),
                    only_forward: false,
                });
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
        .chain(changed_kind(outgoing, incoming, &counterpart))
        .collect()
}

/// The moves between the sequence of a serial and that of the identity that replaces it, or the reverse.
fn changed_kind(
    outgoing: &Definition,
    incoming: &Definition,
    counterpart: &impl Fn(&Ident) -> Option<Ident>,
) -> Vec<SequenceMove> {
    let mut moves = Vec::new();
    for column in &outgoing.columns {
        let Some(new) = counterpart(&column.name) else { continue };
        let (serial, identity) = (serial_of(outgoing, &column.name), identity_of(incoming, &new));
        if let (Some(from), Some(to)) = (serial, identity) {
            moves.push(SequenceMove::Value { from: from.clone(), to: to.clone(), only_forward: true });
        }
        // The outgoing column still owns the sequence of the serial.
        let owned = outgoing.sequences.iter().find(|other| !other.is_identity && other.column == column.name);
        let uses = |sequence: &&OwnedSequence| is_default(incoming, &new, sequence);
        if let (Some(from), Some(to)) = (identity_of(outgoing, &column.name), owned.filter(uses)) {
            moves.push(SequenceMove::Value { from: from.clone(), to: to.clone(), only_forward: true });
        }
    }
    moves
}

/// The sequence of an identity column.
#[must_use]
pub fn identity_of<'a>(definition: &'a Definition, column: &Ident) -> Option<&'a OwnedSequence> {
    definition.sequences.iter().find(|sequence| sequence.is_identity && sequence.column == *column)
}

/// The sequence that a column owns and whose next value is its default.
#[must_use]
pub fn serial_of<'a>(definition: &'a Definition, column: &Ident) -> Option<&'a OwnedSequence> {
    let owned =
        definition.sequences.iter().filter(|sequence| !sequence.is_identity && sequence.column == *column);
    owned.into_iter().find(|sequence| is_default(definition, column, sequence))
}

/// Whether the column's default is the next value of the sequence: `nextval('schema.name'::regclass)`.
fn is_default(definition: &Definition, column: &Ident, sequence: &OwnedSequence) -> bool {
    let column = definition.columns.iter().find(|known| known.name == *column);
    let default = column.and_then(|column| column.default_expression.as_deref()).unwrap_or_default();
    let name = default.strip_prefix("nextval('").and_then(|rest| rest.strip_suffix("'::regclass)"));
    name.is_some_and(|name| {
        let name = name.replace("''", "'");
        // Without its schema, if the schema is in the search_path.
        name == sequence.name.shown() || name == sequence.name.name.shown()
    })
}
