//! Finds the migration that the user means.

use tokio_postgres::Client;

use crate::alter::TableRef;
use crate::catalog::{find_name, find_table};
use crate::error::{Error, Result};
use crate::name::QualifiedName;
use crate::state::{Migration, Phase};

/// The open migration of a table, if there is one.
pub(super) async fn open_on_table(client: &Client, table: &TableRef) -> Result<Option<Migration>> {
    let oid = find_table(client, &table.to_string()).await?;
    Ok(Migration::list_open(client).await?.into_iter().find(|migration| is_on(migration, oid, table)))
}

/// Whether a migration belongs to this table: the table that the name means in this session. Only if there is no such
/// table any more, the names are compared.
fn is_on(migration: &Migration, oid: Option<u32>, table: &TableRef) -> bool {
    migration.tables.iter().any(|change| match oid {
        Some(oid) => change.original_oid == oid || change.shadow_oid == Some(oid),
        None => is_named(&change.name, table),
    })
}

/// Whether the new table of a rolled-back migration still exists.
async fn keeps_a_table(client: &Client, migration: &Migration) -> Result<bool> {
    for oid in migration.tables.iter().filter_map(|change| change.shadow_oid) {
        if migration.phase == Phase::RolledBack && find_name(client, oid).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_named(name: &QualifiedName, table: &TableRef) -> bool {
    name.name == table.name && table.schema.as_ref().is_none_or(|schema| *schema == name.schema)
}

/// Finds a migration by its id, a unique prefix of it, or the table's name if only one is open on it; without a word,
/// the only open migration. Ended migrations are found by id, and by table if none is open.
///
/// # Errors
/// [`crate::error::Kind::Usage`] if there is none, or more than one.
pub(super) async fn find(client: &Client, word: Option<&str>, open_only: bool) -> Result<Migration> {
    let all = Migration::list(client).await?;
    let open = || all.iter().filter(|migration| migration.phase.is_open());
    let Some(word) = word else {
        return one(&open().collect::<Vec<_>>(), "no migration is open", "several migrations are open");
    };
    let digits = word.replace('-', "").to_lowercase();
    let is_prefix = digits.len() >= 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
    let by_id: Vec<&Migration> = all
        .iter()
        .filter(|migration| is_prefix && migration.id.simple().to_string().starts_with(&digits))
        .collect();
    let several_ids = format!("several ids begin with {word}");
    let open_by_id: Vec<&Migration> = by_id.iter().copied().filter(|m| m.phase.is_open()).collect();
    if !open_by_id.is_empty() {
        return one(&open_by_id, "", &several_ids);
    }
    let nothing = format!("there is no migration {word}, and no open migration of a table with that name");
    let Ok(table) = TableRef::parse(word) else {
        return one(&by_id, &nothing, &several_ids);
    };
    let oid = find_table(client, &table.to_string()).await?;
    let on_table = |migration: &&Migration| is_on(migration, oid, &table);
    let by_table: Vec<&Migration> = open().filter(on_table).collect();
    if by_table.is_empty() && !by_id.is_empty() {
        return one(&by_id, "", &several_ids);
    }
    if by_table.is_empty() {
        // Of ended migrations, one that still keeps a table, otherwise the newest.
        let ended: Vec<&Migration> =
            all.iter().filter(|migration| !open_only && on_table(migration)).collect();
        for migration in &ended {
            if keeps_a_table(client, migration).await? {
                return Ok((*migration).clone());
            }
        }
        return ended.first().map_or_else(|| Err(none(&nothing, &all)), |newest| Ok((*newest).clone()));
    }
    one(&by_table, "", &format!("several migrations are open on table {word}"))
}

fn one(found: &[&Migration], none_message: &str, many_message: &str) -> Result<Migration> {
    match found {
        [] => Err(none(none_message, &[])),
        [only] => Ok((*only).clone()),
        several => {
            let list: Vec<String> =
                several.iter().map(|m| format!("{} {} ({})", m.short_id(), m.shown(), m.phase)).collect();
            Err(Error::usage(many_message).because(list.join("; ")).hint("Give the id of one of them."))
        }
    }
}

fn none(message: &str, all: &[Migration]) -> Error {
    let open: Vec<String> = all
        .iter()
        .filter(|migration| migration.phase.is_open())
        .map(|m| format!("{} {} ({})", m.short_id(), m.shown(), m.phase))
        .collect();
    let error = Error::usage(message);
    if open.is_empty() {
        error.hint("`pgrecast list` shows all migrations. Begin one with `pgrecast run TABLE --alter '..'`.")
    } else {
        error.hint(format!("Open migrations: {}", open.join("; ")))
    }
}
