//! Indexes and their constraints.

use tokio_postgres::{Client, Row};

use crate::error::{Error, Result};
use crate::name::{Fragment, Ident, QualifiedName, sql};

/// `contype` of a constraint with an index. <https://www.postgresql.org/docs/current/catalog-pg-constraint.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstraintKind {
    /// `p`.
    PrimaryKey,
    /// `u`.
    Unique,
    /// `x`.
    Exclusion,
}

impl ConstraintKind {
    fn parse(letter: &str) -> Result<Self> {
        match letter {
            "p" => Ok(ConstraintKind::PrimaryKey),
            "u" => Ok(ConstraintKind::Unique),
            "x" => Ok(ConstraintKind::Exclusion),
            other => Err(Error::failed(format!("unknown kind of constraint {other:?}"))),
        }
    }

    /// The key words in ALTER TABLE.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            ConstraintKind::PrimaryKey => "primary key",
            ConstraintKind::Unique => "unique",
            ConstraintKind::Exclusion => "exclude",
        }
    }
}

/// An index of a table.
#[derive(Debug, Clone)]
pub struct Index {
    /// Its oid.
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// As `pg_get_indexdef` writes it.
    pub definition: String,
    /// Whether it is unique.
    pub is_unique: bool,
    /// Whether it is complete and in use.
    pub is_valid: bool,
    /// Whether uniqueness is enforced at once.
    pub is_immediate: bool,
    /// Whether the last CLUSTER used it.
    pub is_clustered: bool,
    /// Whether it is the replica identity.
    pub is_replica_identity: bool,
    /// Whether it distinguishes values that its column's collation treats as equal.
    pub is_stricter: bool,
    /// Whether it has a WHERE clause.
    pub is_partial: bool,
    /// Whether any of its keys is an expression.
    pub has_expressions: bool,
    /// Whether it is the primary key.
    pub is_primary: bool,
    /// The kind of its constraint.
    pub constraint_kind: Option<ConstraintKind>,
    /// As `pg_get_constraintdef` writes it.
    pub constraint_definition: Option<String>,
    /// Whether the constraint is WITHOUT OVERLAPS.
    pub is_temporal: bool,
    /// Whether the constraint is deferrable.
    pub is_deferrable: bool,
    /// Whether it is initially deferred.
    pub is_deferred: bool,
    /// Its tablespace, if not that of the database.
    pub tablespace: Option<Ident>,
    /// Storage parameters as `name=value`.
    pub options: Vec<String>,
    /// Comment on the index.
    pub comment: Option<String>,
    /// Comment on the constraint.
    pub constraint_comment: Option<String>,
    /// Positions of key columns with a statistics target, and the target.
    pub statistics_targets: Vec<(i16, i32)>,
    /// Attribute numbers of the key columns (0: an expression), in index order.
    pub key_columns: Vec<i16>,
    /// The equality operator of each key column's operator class, in full; empty unless btree.
    pub equality_operators: Vec<Fragment>,
    /// Its access method.
    pub access_method: String,
    /// Its size in bytes.
    pub bytes: i64,
}

impl Index {
    /// Whether only its constraint can make it: an exclusion constraint, or a key WITHOUT OVERLAPS.
    #[must_use]
    pub fn is_made_by_constraint(&self) -> bool {
        self.is_temporal || self.constraint_kind == Some(ConstraintKind::Exclusion)
    }

    /// All indexes of a table, by name.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        let rows = client.query(&sql!("catalog/list_indexes.sql").text(), &[&table]).await?;
        rows.iter().map(Self::from_row).collect()
    }

    fn from_row(row: &Row) -> Result<Self> {
        let places: Vec<i16> = row.try_get("statistics_columns")?;
        let targets: Vec<i32> = row.try_get("statistics_targets")?;
        let operators: Vec<String> = row.try_get("equality_operators")?;
        Ok(Index {
            oid: row.try_get("oid")?,
            name: QualifiedName::new(
                row.try_get::<_, String>("schema_name")?,
                row.try_get::<_, String>("name")?,
            ),
            definition: row.try_get("definition")?,
            is_unique: row.try_get("is_unique")?,
            is_valid: row.try_get("is_valid")?,
            is_immediate: row.try_get("is_immediate")?,
            is_clustered: row.try_get("is_clustered")?,
            is_replica_identity: row.try_get("is_replica_identity")?,
            is_stricter: row.try_get("is_stricter")?,
            is_partial: row.try_get("is_partial")?,
            has_expressions: row.try_get("has_expressions")?,
            is_primary: row.try_get("is_primary")?,
            constraint_kind: row
                .try_get::<_, Option<&str>>("constraint_kind")?
                .map(ConstraintKind::parse)
                .transpose()?,
            constraint_definition: row.try_get("constraint_definition")?,
            is_temporal: row.try_get("is_temporal")?,
            is_deferrable: row.try_get("is_deferrable")?,
            is_deferred: row.try_get("is_deferred")?,
            tablespace: row.try_get::<_, Option<String>>("tablespace")?.map(Ident::new),
            options: row.try_get("options")?,
            comment: row.try_get("comment")?,
            constraint_comment: row.try_get("constraint_comment")?,
            statistics_targets: places.into_iter().zip(targets).collect(),
            key_columns: row.try_get("key_columns")?,
            equality_operators: operators.into_iter().map(Fragment::trusted).collect(),
            access_method: row.try_get("access_method")?,
            bytes: row.try_get("bytes")?,
        })
    }

    /// The DEFERRABLE clause of its constraint.
    #[must_use]
    pub fn deferrable(&self) -> &'static str {
        match (self.is_deferrable, self.is_deferred) {
            (true, true) => " deferrable initially deferred",
            (true, false) => " deferrable",
            _ => "",
        }
    }

    /// Whether the columns of this index identify every row (if they are also NOT NULL).
    #[must_use]
    pub fn can_identify_rows(&self) -> bool {
        self.is_unique
            && self.is_valid
            && self.is_immediate
            && !self.is_stricter
            && !self.is_partial
            && !self.has_expressions
            && self.access_method == "btree"
            && !self.key_columns.is_empty()
    }
}
