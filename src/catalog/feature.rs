//! What a table has apart from its rows, as far as something other than us may give it to a table that we create.

use tokio_postgres::{Client, Statement};

use crate::error::{Error, Result};
use crate::name::sql;

/// What sort of feature it is.
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
    /// A storage parameter, or `toast.` and one of the TOAST table.
    Option,
    /// A policy.
    Policy,
    /// A trigger of somebody's.
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
    /// A constraint, but not NOT NULL.
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

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// Whether it belongs to the shape that an ALTER gives the table: judged by other means.
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
    /// Its name as the catalog has it; the grantee as SQL text; empty where the table has one of the kind.
    pub name: String,
    /// What else has to be the same.
    pub value: String,
}

impl Feature {
    /// The features of the table with this oid.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        Self::list_by(client, &Self::prepare(client).await?, table).await
    }

    /// The query behind [`Feature::list`], for whoever runs it under a lock.
    pub async fn prepare(client: &Client) -> Result<Statement> {
        Ok(client.prepare(&sql!("catalog/list_features.sql").text()).await?)
    }

    /// The features of a table, by the prepared query.
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

/// The event triggers that act on tables when they are created or altered.
pub async fn event_triggers(client: &Client) -> Result<Vec<String>> {
    let rows = client.query(&sql!("catalog/list_event_triggers.sql").text(), &[]).await?;
    rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
}
