//! Checks the altered, still empty shadow: refuses by name what the server accepts there but the swap could not
//! perform, before anything is changed.
//!
//! Reads the catalog; renames sequences of the shadow only ([`free_names`]).
//! Run twice: the same result. Killed midway: the caller's transaction is rolled back.

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::alter::{ActionKind, Alter};
use crate::catalog::{Definition, OwnedSequence};
use crate::error::{Code, Error, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::mapping::Origin;
use crate::plan::{KeyColumn, Mapping};

/// The maximum number of entries in a SELECT list (`MaxTupleAttributeNumber` in `src/include/access/htup_details.h`).
const MOST_ENTRIES: usize = 1664;

/// The maximum length of a name in bytes (NAMEDATALEN - 1).
const LONGEST_NAME: usize = 63;

/// The state of sequences by oid: the last value and whether it was taken.
pub(super) type Standing = HashMap<u32, (i64, bool)>;

/// Reads the state of the identity sequences among these.
pub(super) async fn standing(client: &Client, sequences: &[OwnedSequence]) -> Result<Standing> {
    let mut all = Standing::new();
    for sequence in sequences.iter().filter(|sequence| sequence.is_identity) {
        let row =
            client.query_one(&format!("select last_value, is_called from {}", sequence.name), &[]).await?;
        all.insert(sequence.oid, (row.try_get(0)?, row.try_get(1)?));
    }
    Ok(all)
}

/// Renames sequences that the ALTER created for the shadow, so that their names are free in the table's schema, as the
/// server would have done there. Refuses an index whose name is taken.
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
                format!("the change creates an index, and relation {} already exists", taken.shown()),
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

/// The name with a number appended, truncated to the maximum length.
fn numbered(name: &str, n: u32) -> String {
    let number = n.to_string();
    let mut end = name.len().min(LONGEST_NAME - number.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{number}", &name[..end])
}

/// The result of the ALTER on the shadow.
pub(super) struct Outcome<'a> {
    /// Its definition.
    pub(super) new: &'a Definition,
    /// The forward mapping.
    pub(super) forward: &'a Mapping,
    /// The key that it shares with the original.
    pub(super) key: &'a [KeyColumn],
}

/// Refuses what the swap could not perform. `before` is the state of the shadow's identity sequences before the ALTER.
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
    // A query reads a row with its key, its old values and its new values.
    if 1 + key.len() + 2 * forward.columns().len() > MOST_ENTRIES {
        return Err(refused(
            Code::TooManyColumns,
            format!("{} has more columns than can be carried over", original.table.name.shown()),
            "A table may have 831 columns with a key of one column.",
        ));
    }
    Ok(())
}

/// The swap creates constraints again, and enforces them even if they were disabled before.
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

/// The swap sets the value of an identity from the outgoing table, so the change may not set it.
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
                "Restart it separately, before the change or after the swap: it is quick.",
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
                "Set its options instead, or do it separately after the swap: it is quick.",
            ));
        }
    }
    Ok(())
}

/// Refuses an added column that is NOT NULL without a value for existing rows.
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

/// Refuses to drop a column whose sequence something else uses.
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
                    "sequence {} is dropped with column {}, and {user} uses it",
                    sequence.name.shown(),
                    sequence.column.shown()
                ),
                "Give that object another sequence first.",
            ));
        }
    }
    Ok(())
}

fn refused(code: Code, message: String, hint: &str) -> Error {
    Error::refused(code, message).state("nothing was changed").hint(hint)
}

/// If `--where` leaves rows out, the two tables do not grow equally. A round then cannot detect two rows whose keys
/// become equal, so the mapping of the key must guarantee that keys stay different. The key's types map one to one
/// ([`shared_key`](crate::plan::key::shared_key)); this checks its collation and intermediate types.
///
/// # Errors
/// Refused, if keys could become equal.
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
        "--where is combined with a conversion of the key that may make two keys equal".to_owned(),
        "Do them one after the other.",
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
