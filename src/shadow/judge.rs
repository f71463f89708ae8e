//! Judges the altered, still empty shadow: what the server accepts there but the swap could not bring
//! about is refused by name, before anything has been changed.
//!
//! Reads the catalog; renames sequences of the shadow only ([`free_names`]).
//! Run twice: says the same. Killed midway: the caller's transaction never was.

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::alter::{ActionKind, Alter};
use crate::catalog::{Definition, OwnedSequence};
use crate::error::{Code, Error, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::mapping::Origin;
use crate::plan::{KeyColumn, Mapping};

/// A SELECT's most entries (`MaxTupleAttributeNumber` in `src/include/access/htup_details.h`).
const MOST_ENTRIES: usize = 1664;

/// The longest name in bytes (NAMEDATALEN less its end).
const LONGEST_NAME: usize = 63;

/// Where sequences stand, by oid: the last value and whether it was taken.
pub(super) type Standing = HashMap<u32, (i64, bool)>;

/// Reads where the identity sequences among these stand.
pub(super) async fn standing(client: &Client, sequences: &[OwnedSequence]) -> Result<Standing> {
    let mut all = Standing::new();
    for sequence in sequences.iter().filter(|sequence| sequence.is_identity) {
        let row =
            client.query_one(&format!("select last_value, is_called from {}", sequence.name), &[]).await?;
        all.insert(sequence.oid, (row.try_get(0)?, row.try_get(1)?));
    }
    Ok(all)
}

/// Gives sequences that the ALTER made for the shadow names that will be free where the table goes, as
/// the server would have done there; refuses an index whose name is taken.
pub(super) async fn free_names(
    client: &Client,
    original: &Definition,
    shadow: &QualifiedName,
    shadow_oid: u32,
    forward: &Mapping,
) -> Result<()> {
    let leaving: Vec<u32> = original
        .sequences
        .iter()
        .filter(|sequence| sequence.is_identity || forward.target_of(&sequence.column).is_none())
        .map(|sequence| sequence.oid)
        .collect();
    let statement = sql!("shadow/list_taken_names.sql").text();
    let home = &original.table.name.schema;
    for row in client.query(&statement, &[&shadow_oid, &original.table.oid, &leaving]).await? {
        let name: String = row.try_get("name")?;
        if !row.try_get::<_, bool>("is_sequence")? {
            let taken = QualifiedName { schema: home.clone(), name: Ident::new(name) };
            return Err(refused(
                Code::IndexNameTaken,
                format!("the change creates an index, and a relation {} exists already", taken.shown()),
                "Give the constraint another name: add constraint <name> ..",
            ));
        }
        let mut free = Ident::new(name.clone());
        for n in 1.. {
            free = Ident::new(numbered(&name, n));
            let found: bool = client
                .query_one(
                    "select exists (select from pg_catalog.pg_class c
                                    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                                    where c.relname = $1 and n.nspname in ($2, $3))",
                    &[&free.as_str(), &home.as_str(), &shadow.schema.as_str()],
                )
                .await?
                .try_get(0)?;
            if !found {
                break;
            }
        }
        let made = QualifiedName { schema: shadow.schema.clone(), name: Ident::new(name) };
        client.batch_execute(&format!("alter sequence {made} rename to {free}")).await?;
    }
    Ok(())
}

/// The name with a number behind it, cut so that it stays a name.
fn numbered(name: &str, n: u32) -> String {
    let number = n.to_string();
    let mut end = name.len().min(LONGEST_NAME - number.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{number}", &name[..end])
}

/// What the ALTER made of the shadow.
pub(super) struct Outcome<'a> {
    /// Its definition.
    pub(super) new: &'a Definition,
    /// How its rows are filled.
    pub(super) forward: &'a Mapping,
    /// The key that it shares with the original.
    pub(super) key: &'a [KeyColumn],
}

/// Refuses what the swap could not bring about. `before` says where the shadow's identity sequences
/// stood before the ALTER ran.
pub(super) async fn judge(
    client: &Client,
    original: &Definition,
    outcome: &Outcome<'_>,
    before: &Standing,
) -> Result<()> {
    let Outcome { new, forward, key } = *outcome;
    switched_off(client, original).await?;
    switched_off(client, new).await?;
    identities(client, original, new, forward, before).await?;
    sequences_in_use(client, original, forward).await?;
    no_value(client, original, new, forward).await?;
    // A row is read with its key, its old values and its new ones side by side.
    if 1 + key.len() + 2 * forward.columns().len() > MOST_ENTRIES {
        return Err(refused(
            Code::TooManyColumns,
            format!("{} has more columns than can be carried over", original.table.name.shown()),
            "A table may have 831 of them with a key of one column.",
        ));
    }
    Ok(())
}

/// A constraint that is made anew in the swap is enforced, also where it was switched off before.
async fn switched_off(client: &Client, definition: &Definition) -> Result<()> {
    let statement = sql!("shadow/list_disabled_constraints.sql").text();
    let Some(row) = client.query_opt(&format!("{statement} limit 1"), &[&definition.table.oid]).await? else {
        return Ok(());
    };
    let (constraint, table): (String, String) = (row.try_get("constraint_name")?, row.try_get("table_name")?);
    Err(refused(
        Code::DisabledConstraint,
        format!(
            "constraint {} is disabled, or would be, by ALTER TABLE .. DISABLE TRIGGER ALL on {table}",
            Ident::new(constraint).shown()
        ),
        "Enable it with `enable trigger all`, or disable triggers by name or with USER.",
    ))
}

/// The swap takes the value of an identity over from the outgoing table: nothing else may set it.
async fn identities(
    client: &Client,
    original: &Definition,
    new: &Definition,
    forward: &Mapping,
    before: &Standing,
) -> Result<()> {
    let after = standing(client, &new.sequences).await?;
    let sequences = new.sequences.iter().filter(|sequence| sequence.is_identity);
    for sequence in sequences {
        let column = sequence.column.shown();
        let was = before.get(&sequence.oid);
        if was.is_some_and(|was| after.get(&sequence.oid) != Some(was)) {
            return Err(refused(
                Code::IdentityRestarted,
                format!("the change restarts the identity of column {column}"),
                "Restart it by itself, before the change or after the swap: it is quick.",
            ));
        }
        let had_one = original.sequences.iter().any(|old| {
            old.is_identity
                && forward.target_of(&old.column).is_some_and(|output| output.name == sequence.column)
        });
        if was.is_none() && had_one {
            return Err(refused(
                Code::IdentityReplaced,
                format!("the change drops the identity of column {column} and creates a new one"),
                "Set its options instead, or do it by itself after the swap: it is quick.",
            ));
        }
    }
    Ok(())
}

/// A column that is added NOT NULL and gives rows that are there no value.
async fn no_value(client: &Client, original: &Definition, new: &Definition, forward: &Mapping) -> Result<()> {
    let is_empty =
        |name: &Ident| forward.columns().iter().any(|o| o.name == *name && o.origin == Origin::Null);
    let Some(column) = new.columns.iter().find(|column| column.is_not_null && is_empty(&column.name)) else {
        return Ok(());
    };
    let table = &original.table.name;
    let has_rows = format!("select exists (select from only {table})");
    if !client.query_one(&has_rows, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(());
    }
    Err(refused(
        Code::NotNullWithoutDefault,
        format!("column {} is NOT NULL and has no default for the existing rows", column.name.shown()),
        "Add it with a default: add column .. default .. not null. The default can be dropped after the swap.",
    ))
}

/// A sequence leaves with the column that owns it.
async fn sequences_in_use(client: &Client, original: &Definition, forward: &Mapping) -> Result<()> {
    for sequence in &original.sequences {
        if !sequence.is_identity && forward.target_of(&sequence.column).is_some() {
            continue;
        }
        let statement = sql!("shadow/list_sequence_users.sql").text();
        let row =
            client.query_opt(&format!("{statement} limit 1"), &[&sequence.oid, &original.table.oid]).await?;
        if let Some(row) = row {
            let user: String = row.try_get("user_name")?;
            return Err(refused(
                Code::SequenceInUse,
                format!(
                    "sequence {} goes with column {}, and is used by {user}",
                    sequence.name.shown(),
                    sequence.column.shown()
                ),
                "Give that one a sequence of its own first.",
            ));
        }
    }
    Ok(())
}

fn refused(code: Code, message: String, hint: &str) -> Error {
    Error::refused(code, message).state("nothing was changed").hint(hint)
}

/// Where rows are left out the two tables do not grow alike, which is how rows that come to stand for two are found:
/// there the key has to keep them apart by itself. Its types map one to one ([`shared_key`](crate::plan::key::shared_key));
/// left are its collation, and types that it has on the way only.
///
/// # Errors
/// Refused, when it may not.
pub(super) fn left_out(
    original: &Definition,
    new: &Definition,
    forward: &Mapping,
    key: &[KeyColumn],
    alter: &Alter,
) -> Result<()> {
    let is_compared_alike = |column: &KeyColumn| {
        let from = original.columns.iter().find(|known| known.name == column.original);
        let to = new.columns.iter().find(|known| known.name == column.new);
        from.zip(to).is_some_and(|(from, to)| from.collation == to.collation)
    };
    let alters = |name: &Ident| {
        alter
            .actions()
            .filter(|a| matches!(&a.kind, ActionKind::SetType { column, .. } if column == name))
            .count()
    };
    let is_plain = |column: &KeyColumn| {
        let times =
            if column.original == column.new { 0 } else { alters(&column.new) } + alters(&column.original);
        times == 0 || (times == 1 && forward.levels.len() == 1)
    };
    if key.iter().all(|column| is_compared_alike(column) && is_plain(column)) {
        return Ok(());
    }
    Err(refused(
        Code::WhereKeyConversion,
        "--where together with a conversion of the key that may make two keys equal".to_owned(),
        "Do one after the other.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_name_is_no_longer_than_a_name_and_ends_between_characters() {
        assert_eq!(numbered("t_id_seq", 1), "t_id_seq1");
        let long = "ü".repeat(31) + "x";
        assert_eq!(long.len(), LONGEST_NAME);
        assert_eq!(numbered(&long, 7), "ü".repeat(31) + "7");
        assert_eq!(numbered(&long, 12), "ü".repeat(30) + "12");
    }
}
