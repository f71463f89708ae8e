//! The features of a table, apart from its rows, that something else can add to a table that pgrecast creates.

use tokio_postgres::{Client, Statement};

use crate::error::{Error, Result};
use crate::name::sql;

/// The kind of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeatureKind {
    /// Whether row-level security is enabled.
    RowSecurity,
    /// Whether it is forced on the owner too.
    ForcedRowSecurity,
    /// The role that owns the table.
    Owner,
    /// Logged or UNLOGGED.
    Persistence,
    /// What an UPDATE writes for logical replication.
    ReplicaIdentity,
    /// A storage parameter of the table, or with the prefix `toast.` of its TOAST table.
    Option,
    /// A policy.
    Policy,
    /// A trigger, except for those of pgrecast.
    Trigger,
    /// A rule.
    Rule,
    /// A publication that names the table.
    Publication,
    /// The privileges of one role.
    Grant,
    /// A table from which it inherits.
    Parent,
    /// A table that inherits from it.
    Child,
    /// A column.
    Column,
    /// An index that no constraint owns.
    Index,
    /// A constraint other than NOT NULL.
    Constraint,
    /// An extended statistics object.
    Statistics,
}

impl FeatureKind {
    const ALL: [(&'static str, FeatureKind); 17] = [
        ("row security", FeatureKind::RowSecurity),
        ("forced row security", FeatureKind::ForcedRowSecurity),
        ("owner", FeatureKind::Owner),
        ("persistence", FeatureKind::Persistence),
        ("replica identity", FeatureKind::ReplicaIdentity),
        ("option", FeatureKind::Option),
        ("policy", FeatureKind::Policy),
        ("trigger", FeatureKind::Trigger),
        ("rule", FeatureKind::Rule),
        ("publication", FeatureKind::Publication),
        ("grant", FeatureKind::Grant),
        ("parent", FeatureKind::Parent),
        ("child", FeatureKind::Child),
        ("column", FeatureKind::Column),
        ("index", FeatureKind::Index),
        ("constraint", FeatureKind::Constraint),
        ("statistics", FeatureKind::Statistics),
    ];

    /// Its name in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// Whether it belongs to the shape of the table, which an ALTER changes and which is compared elsewhere.
    #[must_use]
    pub fn is_shape(self) -> bool {
        use FeatureKind::{Column, Constraint, Index, Statistics};
        matches!(self, Column | Constraint | Index | Statistics)
    }
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// What it is.
    pub kind: FeatureKind,
    /// Its name in the catalog; for privileges the grantee as SQL text; empty for a kind that a table has only once.
    pub name: String,
    /// Its value, which is compared too.
    pub value: String,
}

impl Feature {
    /// The features of the table with this oid.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        Self::list_by(client, &Self::prepare(client).await?, table).await
    }

    /// Prepares the query of [`Feature::list`], to save time when it is run under a lock.
    pub async fn prepare(client: &Client) -> Result<Statement> {
        Ok(client.prepare(&sql!("catalog/list_features.sql").text()).await?)
    }

    /// The same as [`Feature::list`], with the prepared query.
    pub async fn list_by(client: &Client, query: &Statement, table: u32) -> Result<Vec<Self>> {
        let rows = client.query(query, &[&table]).await?;
        rows.iter()
            .map(|row| {
                let word: &str = row.try_get("kind")?;
                let known = FeatureKind::ALL.iter().find(|(known, _)| *known == word);
                let (_, kind) =
                    known.ok_or_else(|| Error::failed(format!("unknown kind of feature {word:?}")))?;
                Ok(Feature { kind: *kind, name: row.try_get("name")?, value: row.try_get("value")? })
            })
            .collect()
    }
}

/// The event triggers that fire at the end of DDL commands.
pub async fn event_triggers(client: &Client) -> Result<Vec<String>> {
    let rows = client.query(&sql!("catalog/list_event_triggers.sql").text(), &[]).await?;
    rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
}
