//! What is taken off the shadow while rows are copied and put (back) on later: each with the
//! statements that make it, drop it and validate it.

use crate::catalog::{Definition, ForeignKey, Identity, Index, ReferrerKind};
use crate::name::{Fragment, Ident, Literal, QualifiedName};

/// Of which table's shape something is part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The shape as it was.
    Original,
    /// The new shape.
    New,
}

impl Side {
    /// As the state keeps it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Original => "original",
            Side::New => "new",
        }
    }
}

/// What it is, which says when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The unique index of the shared key: made first, right after the copy.
    KeyIndex,
    /// Any other index, with its constraint: made when replay has caught up with the copy.
    Index,
    /// A NOT VALID check: made in the swap.
    Check,
    /// A foreign key from or to the table: made in the swap, validated after it.
    ForeignKey,
    /// GENERATED ALWAYS of an identity: BY DEFAULT until the swap, because UPDATE may not set it.
    Identity,
    /// A trigger: there from the beginning, but disabled until the swap.
    Trigger,
    /// A view that reads the table: given its query anew in the swap, or made anew.
    View,
    /// A materialized view: built aside before the swap, exchanged in it.
    MaterializedView,
    /// A function that uses the table's row type, or its columns in a body that the server keeps parsed.
    Function,
    /// A rewrite rule on the table or mentioning it.
    Rule,
    /// A row-level security policy of the table or mentioning it.
    Policy,
    /// A publication's entry for the table.
    Publication,
}

impl Kind {
    /// As the state keeps it and `plan` shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::KeyIndex => "key index",
            Kind::Index => "index",
            Kind::Check => "check",
            Kind::ForeignKey => "foreign key",
            Kind::Identity => "identity",
            Kind::Trigger => "trigger",
            Kind::View => "view",
            Kind::MaterializedView => "materialized view",
            Kind::Function => "function",
            Kind::Rule => "rule",
            Kind::Policy => "policy",
            Kind::Publication => "publication",
        }
    }

    /// Reads what [`Kind::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const ALL: [Kind; 12] = [
            Kind::KeyIndex,
            Kind::Index,
            Kind::Check,
            Kind::ForeignKey,
            Kind::Identity,
            Kind::Trigger,
            Kind::View,
            Kind::MaterializedView,
            Kind::Function,
            Kind::Rule,
            Kind::Policy,
            Kind::Publication,
        ];
        ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// Of which shape it is part.
    pub side: Side,
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Ident,
    /// The table on which it hangs: another one for a foreign key that points here.
    pub table: QualifiedName,
    /// The other table of a foreign key.
    pub other_table: Option<QualifiedName>,
    /// The role that has to make and drop it, where that is not the table's owner.
    pub role: Option<Ident>,
    /// The statements that make it, in order.
    pub create: Vec<String>,
    /// The statement that takes it off, where the swap has to.
    pub drop: Option<String>,
    /// The statement that validates it after the swap, where it was valid.
    pub validate: Option<String>,
    /// Its size in bytes in the original, for the order of the work; 0 where it has none.
    pub bytes: i64,
    /// Of an index: how it is built.
    pub build: Build,
}

/// How an index is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Build {
    /// How many of the leading statements only build, under a lock that many builds can share. What follows (the
    /// constraint, comments) needs ACCESS EXCLUSIVE on the table: two sessions that hold the one and want the other
    /// would deadlock.
    pub statements: usize,
    /// Whether rows may fail to fit it: a unique index, an exclusion constraint.
    pub refuses_rows: bool,
}

impl From<ReferrerKind> for Kind {
    fn from(kind: ReferrerKind) -> Self {
        match kind {
            ReferrerKind::Rule => Kind::Rule,
            ReferrerKind::Policy => Kind::Policy,
            ReferrerKind::Function => Kind::Function,
            ReferrerKind::Publication => Kind::Publication,
        }
    }
}

impl Dependent {
    /// Whether the swap has to do with it: indexes are there by then.
    #[must_use]
    pub fn is_of_swap(&self) -> bool {
        !matches!(self.kind, Kind::KeyIndex | Kind::Index)
    }
}

/// The index, made on `table` with its final name, and everything that belongs to it.
/// `key` says whether it is the index of the shared key.
#[must_use]
pub fn index(index: &Index, table: &QualifiedName, key: bool, bytes: i64) -> Dependent {
    let name = &index.name.name;
    let here = index.name.in_schema(&table.schema);
    let mut create = Vec::new();
    let tablespace = index.tablespace.as_ref().map_or("''".to_owned(), ToString::to_string);
    create.push(format!("set local default_tablespace = {tablespace}"));
    let definition = index.constraint_definition.as_deref().unwrap_or_default();
    let by_constraint = index.is_made_by_constraint();
    let statements = if by_constraint { 0 } else { 2 };
    if by_constraint {
        create.push(format!("alter table {table} add constraint {name} {definition}"));
        if !index.options.is_empty() {
            create.push(format!("alter index {here} set ({})", Fragment::join(&index.options, ", ")));
        }
    } else {
        create.push(index.definition.clone());
        if let Some(kind) = index.constraint_kind {
            create.push(format!(
                "alter table {table} add constraint {name} {} using index {name}{}",
                kind.words(),
                index.deferrable()
            ));
        }
    }
    for (place, target) in &index.statistics_targets {
        create.push(format!("alter index {here} alter column {place} set statistics {target}"));
    }
    if let Some(comment) = &index.comment {
        create.push(format!("comment on index {here} is {}", Literal(comment)));
    }
    if let Some(comment) = &index.constraint_comment {
        create.push(format!("comment on constraint {name} on {table} is {}", Literal(comment)));
    }
    if index.is_clustered {
        create.push(format!("alter table {table} cluster on {name}"));
    }
    if index.is_replica_identity {
        create.push(format!("alter table {table} replica identity using index {name}"));
    }
    Dependent {
        side: Side::New,
        kind: if key { Kind::KeyIndex } else { Kind::Index },
        name: name.clone(),
        table: table.clone(),
        other_table: None,
        role: None,
        create,
        drop: None,
        validate: None,
        bytes,
        build: Build { statements, refuses_rows: by_constraint || index.is_unique },
    }
}

/// The statement that takes an index of the shadow off again before the copy.
#[must_use]
pub fn drop_index(index: &Index, table: &QualifiedName) -> String {
    match index.constraint_kind {
        Some(_) => format!("alter table {table} drop constraint {}", index.name.name),
        None => format!("drop index {}", index.name.in_schema(&table.schema)),
    }
}

/// A foreign key between `child` and `parent` under their final names. Where the child is partitioned, and NOT VALID
/// is not possible (before PostgreSQL 18), its partitions have it first; made on the parent after all of these are
/// validated, it takes them over without a scan.
/// <https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE>
#[must_use]
pub fn foreign_key(
    side: Side,
    key: &ForeignKey,
    child: &QualifiedName,
    parent: &QualifiedName,
) -> Vec<Dependent> {
    let add = |table: &QualifiedName, name: &Ident| {
        format!("alter table {table} add constraint {name} {}", key.clause(parent))
    };
    let comment = key
        .comment
        .as_ref()
        .map(|comment| format!("comment on constraint {} on {child} is {}", key.name, Literal(comment)));
    let drop = |table: &QualifiedName, name: &Ident| {
        // Gone with the parent's, or not there yet.
        let words = if key.leaves.is_empty() { "" } else { "if exists " };
        Some(format!("alter table {table} drop constraint {words}{name}"))
    };
    let of = |table: &QualifiedName, name: &Ident, create: Vec<String>, validate: Option<String>| Dependent {
        side,
        kind: Kind::ForeignKey,
        name: name.clone(),
        table: table.clone(),
        other_table: Some(parent.clone()),
        role: None,
        create,
        drop: drop(table, name),
        validate,
        bytes: 0,
        build: Build::default(),
    };
    let not_valid = |table: &QualifiedName, name: &Ident| format!("{} not valid", add(table, name));
    let validate =
        |table: &QualifiedName, name: &Ident| format!("alter table {table} validate constraint {name}");
    if key.leaves.is_empty() {
        let create = [Some(not_valid(child, &key.name)), comment].into_iter().flatten().collect();
        return vec![of(child, &key.name, create, key.is_valid.then(|| validate(child, &key.name)))];
    }
    let leaves = key
        .leaves
        .iter()
        .map(|(table, name)| of(table, name, vec![not_valid(table, name)], Some(validate(table, name))));
    let whole = [Some(add(child, &key.name)), comment].into_iter().flatten().collect::<Vec<_>>().join("; ");
    leaves.chain([of(child, &key.name, Vec::new(), Some(whole))]).collect()
}

/// The triggers of a table under its final name: they exist already and are only enabled.
#[must_use]
pub fn triggers(side: Side, definition: &Definition, table: &QualifiedName) -> Vec<Dependent> {
    definition
        .triggers
        .iter()
        .map(|trigger| Dependent {
            side,
            kind: Kind::Trigger,
            name: trigger.name.clone(),
            table: table.clone(),
            other_table: None,
            role: None,
            create: vec![format!("alter table {table} {} trigger {}", trigger.state.words(), trigger.name)],
            drop: None,
            validate: None,
            bytes: 0,
            build: Build::default(),
        })
        .collect()
}

/// The statement by which a GENERATED ALWAYS column of a table can be written by UPDATE.
#[must_use]
pub fn by_default(table: &QualifiedName, column: &Ident) -> String {
    format!("alter table {table} alter column {column} set generated by default")
}

/// The GENERATED ALWAYS columns of a shape, under the table's final name.
#[must_use]
pub fn identities(side: Side, definition: &Definition, table: &QualifiedName) -> Vec<Dependent> {
    definition
        .columns
        .iter()
        .filter(|column| column.identity == Identity::Always)
        .map(|column| Dependent {
            side,
            kind: Kind::Identity,
            name: column.name.clone(),
            table: table.clone(),
            other_table: None,
            role: None,
            create: vec![format!("alter table {table} alter column {} set generated always", column.name)],
            drop: Some(by_default(table, &column.name)),
            validate: None,
            bytes: 0,
            build: Build::default(),
        })
        .collect()
}

/// The NOT VALID checks of the new shape under the table's final name.
#[must_use]
pub fn unvalidated_checks(definition: &Definition, table: &QualifiedName) -> Vec<Dependent> {
    definition
        .checks
        .iter()
        .filter(|check| !check.is_valid)
        .map(|check| {
            let mut create =
                vec![format!("alter table {table} add constraint {} {}", check.name, check.definition)];
            if let Some(comment) = &check.comment {
                create.push(format!(
                    "comment on constraint {} on {table} is {}",
                    check.name,
                    Literal(comment)
                ));
            }
            Dependent {
                side: Side::New,
                kind: Kind::Check,
                name: check.name.clone(),
                table: table.clone(),
                other_table: None,
                role: None,
                create,
                drop: None,
                validate: None,
                bytes: 0,
                build: Build::default(),
            }
        })
        .collect()
}

/// An object elsewhere that names the table, as it is carried over.
#[derive(Debug)]
pub struct Carried<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: &'a Ident,
    /// What it stands on, or its own name with its schema.
    pub table: &'a QualifiedName,
    /// The role that has to make and drop it, where that is not the table's owner.
    pub role: Option<&'a Ident>,
    /// The statements that make it name the original, and the new table.
    pub create: [Vec<String>; 2],
    /// The statement that takes it off, where it is made anew.
    pub drop: Option<String>,
}

/// An object elsewhere that names the table, put to the table that is in place. `drop` is there where it is made
/// anew, and not where it is changed.
#[must_use]
pub fn referrer(referrer: Carried<'_>) -> [Dependent; 2] {
    let Carried { kind, name, table, role, create: [original, new], drop } = referrer;
    [(Side::Original, original), (Side::New, new)].map(|(side, create)| Dependent {
        side,
        kind,
        name: name.clone(),
        table: table.clone(),
        other_table: None,
        role: role.cloned(),
        create,
        drop: drop.clone(),
        validate: None,
        bytes: 0,
        build: Build::default(),
    })
}
