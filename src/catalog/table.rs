//! The table itself.

use tokio_postgres::{Client, Row};

use crate::error::{Error, Result};
use crate::name::{Ident, QualifiedName, sql};

/// `relpersistence`. <https://www.postgresql.org/docs/current/catalog-pg-class.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// `p`: rows survive a crash.
    Permanent,
    /// `u`: a crash empties the table.
    Unlogged,
    /// `t`: the table belongs to its session.
    Temporary,
}

impl Persistence {
    fn parse(letter: &str) -> Result<Self> {
        match letter {
            "p" => Ok(Persistence::Permanent),
            "u" => Ok(Persistence::Unlogged),
            "t" => Ok(Persistence::Temporary),
            other => Err(Error::failed(format!("unknown persistence {other:?}"))),
        }
    }
}

/// The properties of a table in `pg_class`.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its oid.
    pub oid: u32,
    /// Its name and schema.
    pub name: QualifiedName,
    /// `relkind`: `r` is an ordinary table.
    pub kind: String,
    /// What happens to its rows in a crash.
    pub persistence: Persistence,
    /// The role that owns it.
    pub owner: Ident,
    /// Its access method; nearly always `heap`.
    pub access_method: Option<Ident>,
    /// Its tablespace, if not that of the database.
    pub tablespace: Option<Ident>,
    /// Storage parameters as `name=value`.
    pub options: Vec<String>,
    /// Storage parameters of its TOAST table.
    pub toast_options: Vec<String>,
    /// `relreplident`.
    pub replica_identity: String,
    /// Whether it is a partition.
    pub is_partition: bool,
    /// Whether it was created `OF` a type.
    pub is_typed: bool,
    /// Whether row-level security is enabled.
    pub has_row_security: bool,
    /// Whether row-level security is forced on the owner.
    pub forces_row_security: bool,
    /// Whether its owner is exempt from row-level security even if it is forced.
    pub owner_bypasses_row_security: bool,
    /// Whether it is a system table.
    pub is_system: bool,
    /// Number of rows, as last estimated by VACUUM or ANALYZE.
    pub rows_estimated: f64,
    /// Size of the table with TOAST, in bytes.
    pub table_bytes: i64,
    /// Size of its indexes, in bytes.
    pub index_bytes: i64,
    /// Its size in blocks.
    pub blocks: i64,
    /// Its file node: changes with TRUNCATE, VACUUM FULL, CLUSTER and rewrites.
    pub filenode: Option<u32>,
}

impl Table {
    /// Reads the table with this oid.
    pub async fn read(client: &Client, oid: u32) -> Result<Self> {
        let row = client
            .query_opt(&sql!("catalog/inspect_table.sql").text(), &[&oid])
            .await?
            .ok_or_else(|| Error::failed(format!("the table with oid {oid} does not exist any more")))?;
        Self::from_row(&row)
    }

    fn from_row(row: &Row) -> Result<Self> {
        Ok(Table {
            oid: row.try_get("oid")?,
            name: QualifiedName::new(
                row.try_get::<_, String>("schema_name")?,
                row.try_get::<_, String>("table_name")?,
            ),
            kind: row.try_get("kind")?,
            persistence: Persistence::parse(row.try_get("persistence")?)?,
            owner: Ident::new(row.try_get::<_, String>("owner")?),
            access_method: row.try_get::<_, Option<String>>("access_method")?.map(Ident::new),
            tablespace: row.try_get::<_, Option<String>>("tablespace")?.map(Ident::new),
            options: row.try_get("options")?,
            toast_options: row.try_get("toast_options")?,
            replica_identity: row.try_get("replica_identity")?,
            is_partition: row.try_get("is_partition")?,
            is_typed: row.try_get("is_typed")?,
            has_row_security: row.try_get("has_row_security")?,
            forces_row_security: row.try_get("forces_row_security")?,
            owner_bypasses_row_security: row.try_get("owner_bypasses_row_security")?,
            is_system: row.try_get("is_system")?,
            rows_estimated: row.try_get("rows_estimated")?,
            table_bytes: row.try_get("table_bytes")?,
            index_bytes: row.try_get("index_bytes")?,
            blocks: row.try_get("blocks")?,
            filenode: row.try_get("filenode")?,
        })
    }
}

/// The oid of a relation by its name in SQL (quoted where needed), resolved with the session's `search_path` if it has
/// no schema. `None` if there is none.
pub async fn find_table(client: &Client, name: &str) -> Result<Option<u32>> {
    let row = client.query_one("select pg_catalog.to_regclass($1::text)::oid", &[&name]).await?;
    Ok(row.try_get(0)?)
}

/// The oid of a relation, whether or not this role may use its schema: that right is checked for the role that needs it.
/// `None` if it does not exist.
pub async fn find_relation(client: &Client, name: &QualifiedName) -> Result<Option<u32>> {
    let statement = sql!("catalog/find_relation.sql").text();
    let row = client.query_opt(&statement, &[&name.schema.as_str(), &name.name.as_str()]).await?;
    row.map(|row| Ok(row.try_get("oid")?)).transpose()
}

/// The current name of a relation. `None` if it does not exist any more.
pub async fn find_name(client: &Client, oid: u32) -> Result<Option<QualifiedName>> {
    let row = client.query_opt(&sql!("catalog/find_name.sql").text(), &[&oid]).await?;
    row.map(|row| Ok(QualifiedName::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?)))
        .transpose()
}
