//! The statements that build an empty shadow: the original's shape with everything that the requested ALTER might refer
//! to. So the server itself decides what the ALTER does.

use std::collections::{BTreeMap, HashMap};

use crate::alter::retarget;
use crate::catalog::{Definition, ForeignKey, Identity, Persistence};
use crate::error::Result;
use crate::name::{Fragment, Ident, Literal, QualifiedName};

use super::dependents;

/// Where the parts of a shadow are.
#[derive(Debug, Clone)]
pub struct Place {
    /// The shadow.
    pub shadow: QualifiedName,
    /// A schema for empty stand-ins of the tables at the other ends of foreign keys; dropped before the transaction
    /// ends. Real foreign keys would lock the real tables.
    pub scratch: Ident,
    /// The schema to which the original moves.
    pub retired: Ident,
}

impl Place {
    /// The stand-in of the table with this oid.
    #[must_use]
    pub fn stand_in(&self, oid: u32) -> QualifiedName {
        QualifiedName { schema: self.scratch.clone(), name: Ident::new(format!("t{oid}")) }
    }

    /// The stand-in for the table with this oid, if the ALTER references it.
    #[must_use]
    pub fn parent(&self, oid: u32) -> QualifiedName {
        QualifiedName { schema: self.scratch.clone(), name: Ident::new(format!("pgrecast_parent_{oid}")) }
    }

    /// The real tables by the names of their stand-ins.
    #[must_use]
    pub fn stand_ins(&self, original: &Definition) -> HashMap<QualifiedName, QualifiedName> {
        let mut names = HashMap::from([(self.shadow.clone(), original.table.name.clone())]);
        for key in &original.foreign_keys {
            names.insert(self.stand_in(key.parent_oid), key.parent.clone());
            names.insert(self.stand_in(key.child_oid), key.child.clone());
        }
        names
    }
}

/// Creates the table, with the columns of the template first, in their order.
#[must_use]
pub fn create_table(
    original: &Definition,
    shadow: &QualifiedName,
    template: Option<&QualifiedName>,
) -> String {
    let table = &original.table;
    let persistence = if table.persistence == Persistence::Unlogged { "unlogged " } else { "" };
    let options: Vec<String> = table
        .options
        .iter()
        .cloned()
        .chain(table.toast_options.iter().map(|option| format!("toast.{option}")))
        .collect();
    let with = if options.is_empty() { String::new() } else { format!(" with ({})", options.join(", ")) };
    let tablespace = table.tablespace.as_ref().map(|name| format!(" tablespace {name}")).unwrap_or_default();
    let inherits = template.map(|name| format!(" inherits ({name})")).unwrap_or_default();
    // A table that inherits a generated column also inherits the expression, and must not define its own.
    let generated = if template.is_none() { "including generated " } else { "" };
    format!(
        "create {persistence}table {shadow} (like {} including defaults including constraints \
         {generated}including identity including storage including compression including comments)\
         {inherits}{with}{tablespace}",
        table.name
    )
}

/// Adds what LIKE changes or leaves out: NOT VALID checks (LIKE makes them valid), names of identity sequences, indexes
/// with their constraints, statistics, triggers (disabled: they must not fire for a row that pgrecast writes), replica
/// identity.
///
/// `identity_names` are the sequences that LIKE created for the shadow, by column.
pub fn furnish(
    original: &Definition,
    shadow: &QualifiedName,
    identity_names: &HashMap<Ident, QualifiedName>,
) -> Result<Vec<String>> {
    let table = &original.table;
    let mut statements = Vec::new();
    for check in original.checks.iter().filter(|check| !check.is_valid) {
        statements.push(format!("alter table {shadow} drop constraint {}", check.name));
        statements.push(format!("alter table {shadow} add constraint {} {}", check.name, check.definition));
    }
    statements.extend(identity_sequences(original, shadow, identity_names));
    for index in &original.indexes {
        let mut here = index.clone();
        if !index.is_made_by_constraint() {
            here.definition = retarget(&index.definition, &table.name, shadow)?.to_string();
        }
        statements.extend(dependents::index(&here, shadow, false, 0).create);
    }
    for object in &original.statistics {
        statements.push(statistics(object, &table.name, shadow)?);
        let here = object.name.in_schema(&shadow.schema);
        if object.target >= 0 {
            statements.push(format!("alter statistics {here} set statistics {}", object.target));
        }
        if let Some(comment) = &object.comment {
            statements.push(format!("comment on statistics {here} is {}", Literal(comment)));
        }
    }
    match table.replica_identity.as_str() {
        "f" => statements.push(format!("alter table {shadow} replica identity full")),
        "n" => statements.push(format!("alter table {shadow} replica identity nothing")),
        _ => {} // by the primary key, or set with its index
    }
    if table.has_row_security {
        statements.push(format!("alter table {shadow} enable row level security"));
    }
    if table.forces_row_security {
        statements.push(format!("alter table {shadow} force row level security"));
    }
    for trigger in &original.triggers {
        statements.push(retarget(&trigger.definition, &table.name, shadow)?.to_string());
        statements.push(format!("alter table {shadow} {} trigger {}", trigger.state.words(), trigger.name));
        if let Some(comment) = &trigger.comment {
            statements.push(format!(
                "comment on trigger {} on {shadow} is {}",
                trigger.name,
                Literal(comment)
            ));
        }
    }
    Ok(statements)
}

/// LIKE gives the sequence of an identity column a new name, and always the type bigint with the old maximum. A later
/// ALTER TYPE would then not recognize that maximum as the default, and not raise it.
fn identity_sequences(
    original: &Definition,
    shadow: &QualifiedName,
    identity_names: &HashMap<Ident, QualifiedName>,
) -> Vec<String> {
    let identities = || original.sequences.iter().filter(|sequence| sequence.is_identity);
    let mut statements = Vec::new();
    // Two sequences may have each other's names: rename all to temporary names first.
    let passing = |n: usize| QualifiedName {
        schema: shadow.schema.clone(),
        name: Ident::new(format!("pgrecast_identity_{n}")),
    };
    for (n, sequence) in identities().enumerate() {
        if let Some(made) = identity_names.get(&sequence.column) {
            statements.push(format!("alter sequence {made} rename to {}", passing(n).name));
        }
    }
    for (n, sequence) in identities().enumerate() {
        let here = sequence.name.in_schema(&shadow.schema);
        if identity_names.contains_key(&sequence.column) {
            statements.push(format!("alter sequence {} rename to {}", passing(n), sequence.name.name));
            statements.push(format!("alter sequence {here} as {}", sequence.type_name));
        }
        if let Some(comment) = &sequence.comment {
            statements.push(format!("comment on sequence {here} is {}", Literal(comment)));
        }
    }
    statements
}

/// The statistics object in the shadow's schema. The swap moves it to its own schema.
fn statistics(
    object: &crate::catalog::StatisticsObject,
    from: &QualifiedName,
    shadow: &QualifiedName,
) -> Result<String> {
    let text = retarget(&object.definition, from, shadow)?.to_string();
    // `CREATE STATISTICS schema.name ..`: the name is the third word, as the server quotes it.
    let rest = text.strip_prefix("CREATE STATISTICS ").unwrap_or(&text);
    let end = end_of_name(rest);
    Ok(format!("CREATE STATISTICS {}{}", object.name.in_schema(&shadow.schema), &rest[end..]))
}

/// The end of a qualified name at the beginning of a text.
fn end_of_name(text: &str) -> usize {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// Stand-ins for the tables at the other ends of the foreign keys, and the foreign keys between them and the shadow.
#[must_use]
pub fn foreign_keys(original: &Definition, place: &Place) -> Vec<String> {
    let own = original.table.oid;
    let at = |oid: u32| if oid == own { place.shadow.clone() } else { place.stand_in(oid) };
    // Only with the columns of the keys: LIKE would need the right to read the other table.
    let mut columns: BTreeMap<u32, (bool, Vec<&Fragment>)> = BTreeMap::new();
    let mut unique = Vec::new();
    for key in &original.foreign_keys {
        let ends = [
            (key.parent_oid, key.parent_is_unlogged, &key.parent_definitions),
            (key.child_oid, key.child_is_unlogged, &key.child_definitions),
        ];
        for (oid, is_unlogged, definitions) in ends.into_iter().filter(|(oid, ..)| *oid != own) {
            let (_, known) = columns.entry(oid).or_insert((is_unlogged, Vec::new()));
            for definition in definitions {
                if !known.contains(&definition) {
                    known.push(definition);
                }
            }
        }
        if key.parent_oid != own {
            unique.push(unique_for(key, &place.stand_in(key.parent_oid)));
        }
    }
    let mut statements: Vec<String> = columns
        .into_iter()
        .map(|(oid, (is_unlogged, definitions))| {
            // Permanent tables may reference only permanent ones.
            let persistence = if is_unlogged { "unlogged " } else { "" };
            let columns = Fragment::join(definitions, ", ");
            format!("create {persistence}table {} ({columns})", place.stand_in(oid))
        })
        .collect();
    unique.sort();
    unique.dedup();
    statements.extend(unique);
    for key in &original.foreign_keys {
        let not_valid = if key.is_valid { "" } else { " not valid" };
        statements.push(format!(
            "alter table {} add constraint {} {}{not_valid}",
            at(key.child_oid),
            key.name,
            key.clause(&at(key.parent_oid))
        ));
        if let Some(comment) = &key.comment {
            statements.push(format!(
                "comment on constraint {} on {} is {}",
                key.name,
                at(key.child_oid),
                Literal(comment)
            ));
        }
    }
    statements
}

fn unique_for(key: &ForeignKey, parent: &QualifiedName) -> String {
    format!("create unique index on {parent} ({})", Fragment::join(&key.parent_columns, ", "))
}

/// Drops everything from the shadow that would slow down or affect the copy. The dependents say how each object is
/// created again. Triggers stay, disabled.
#[must_use]
pub fn strip(new: &Definition) -> Vec<String> {
    let shadow = &new.table.name;
    let mut statements = Vec::new();
    for key in &new.foreign_keys {
        statements.push(format!("alter table {} drop constraint {}", key.child, key.name));
    }
    for index in &new.indexes {
        statements.push(dependents::drop_index(index, shadow));
    }
    for check in new.checks.iter().filter(|check| !check.is_valid) {
        statements.push(format!("alter table {shadow} drop constraint {}", check.name));
    }
    for column in new.columns.iter().filter(|column| column.identity == Identity::Always) {
        statements.push(dependents::by_default(shadow, &column.name));
    }
    if !new.triggers.is_empty() {
        statements.push(format!("alter table {shadow} disable trigger user"));
    }
    statements
}
