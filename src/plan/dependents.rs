//! Objects that the shadow does not have while rows are copied, and that are created later: each with the statements
//! that create, drop and validate it.

use crate::catalog::{Definition, ForeignKey, Identity, Index, ReferrerKind};
use crate::name::{Fragment, Ident, Literal, QualifiedName};

/// The shape to which a dependent belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The old shape.
    Original,
    /// The new shape.
    New,
}

impl Side {
    /// Its name in the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Original => "original",
            Side::New => "new",
        }
    }
}

/// The kind of a dependent. It determines when the dependent is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The unique index of the shared key: created first, right after the copy.
    KeyIndex,
    /// Any other index, with its constraint: created when replay has caught up with the copy.
    Index,
    /// A NOT VALID check: created in the swap.
    Check,
    /// A foreign key from or to the table: created in the swap, validated after it.
    ForeignKey,
    /// GENERATED ALWAYS of an identity: BY DEFAULT until the swap, because UPDATE may not set it.
    Identity,
    /// A trigger: exists from the beginning, but is disabled until the swap.
    Trigger,
    /// A view that reads the table: replaced or created again in the swap.
    View,
    /// A materialized view: a new one is built before the swap and exchanged in it.
    MaterializedView,
    /// A function that uses the table's row type, or its columns in a parsed body.
    Function,
    /// A rewrite rule on the table, or one that refers to it.
    Rule,
    /// A row-level security policy of the table, or one that refers to it.
    Policy,
    /// A publication's entry for the table.
    Publication,
}

impl Kind {
    /// Its name in the state and in `plan`.
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

    /// The inverse of [`Kind::as_str`].
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

/// An object that depends on the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The shape to which it belongs.
    pub side: Side,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Ident,
    /// The table to which it is attached: the child table of a foreign key.
    pub table: QualifiedName,
    /// The other table of a foreign key.
    pub other_table: Option<QualifiedName>,
    /// The role that must create and drop it, if that is not the table's owner.
    pub role: Option<Ident>,
    /// The statements that create it, in order.
    pub create: Vec<String>,
    /// The statement that drops it, if the swap must drop it.
    pub drop: Option<String>,
    /// The statement that validates it after the swap, if it was valid.
    pub validate: Option<String>,
    /// Its size in bytes in the original, for the order of the work; 0 if it has none.
    pub bytes: i64,
    /// How it is built, if it is an index.
    pub build: Build,
}

/// How an index is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Build {
    /// How many of the first statements only build, under a lock that several builds can share. The other statements
    /// (the constraint, comments) need ACCESS EXCLUSIVE on the table. Two sessions that hold the first lock and request
    /// the second would deadlock.
    pub statements: usize,
    /// Whether rows can violate it: a unique index, an exclusion constraint.
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
    /// Whether the swap must handle it. Indexes exist already.
    #[must_use]
    pub fn is_of_swap(&self) -> bool {
        !matches!(self.kind, Kind::KeyIndex | Kind::Index)
    }
}

/// The index, created on `table` under its final name, and everything that belongs to it. `key` says whether it is the
/// index of the shared key.
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

/// The statement that drops an index of the shadow before the copy.
#[must_use]
pub fn drop_index(index: &Index, table: &QualifiedName) -> String {
    match index.constraint_kind {
        Some(_) => format!("alter table {table} drop constraint {}", index.name.name),
        None => format!("drop index {}", index.name.in_schema(&table.schema)),
    }
}

/// A foreign key between `child` and `parent` under their final names. If the child is partitioned, NOT VALID is not
/// possible (before PostgreSQL 18). Then the foreign key is first created on the partitions. After these are valid, it
/// is created on the partitioned table, which attaches them without a scan.
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
        // Dropped with that of the partitioned table, or not created yet.
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

/// The triggers of a table under its final name. They exist already and are only enabled.
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

/// The statement that lets UPDATE write a GENERATED ALWAYS column.
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

/// The NOT VALID checks of the new shape, under the table's final name.
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

/// An object outside of the table that refers to it, and how it is carried over.
#[derive(Debug)]
pub struct Carried<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: &'a Ident,
    /// The relation to which it is attached, or its own name with its schema.
    pub table: &'a QualifiedName,
    /// The role that must create and drop it, if that is not the table's owner.
    pub role: Option<&'a Ident>,
    /// The statements that make it refer to the original, and to the new table.
    pub create: [Vec<String>; 2],
    /// The statement that drops it, if it is created again.
    pub drop: Option<String>,
}

/// An object outside of the table, changed to refer to the table in place. `drop` exists if the object is created
/// again, and not if it is altered.
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
