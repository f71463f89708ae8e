//! Foreign keys, from and to a table.

use tokio_postgres::{Client, Row};

use crate::error::{Error, Result};
use crate::name::{Fragment, Ident, QualifiedName, sql};

/// One foreign key.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    /// Its oid in `pg_constraint`.
    pub oid: u32,
    /// Its name.
    pub name: Ident,
    /// The referencing table.
    pub child: QualifiedName,
    /// Its oid.
    pub child_oid: u32,
    /// Whether the referencing table is unlogged.
    pub child_is_unlogged: bool,
    /// The referenced table.
    pub parent: QualifiedName,
    /// Its oid.
    pub parent_oid: u32,
    /// Whether the referenced table is unlogged.
    pub parent_is_unlogged: bool,
    /// Referencing columns.
    pub child_columns: Vec<Ident>,
    /// Referenced columns.
    pub parent_columns: Vec<Ident>,
    /// The referencing columns with type and collation, for CREATE TABLE.
    pub child_definitions: Vec<Fragment>,
    /// The referenced columns with type and collation.
    pub parent_definitions: Vec<Fragment>,
    /// Attribute numbers of the referencing columns.
    pub child_numbers: Vec<i16>,
    /// Attribute numbers of the referenced columns.
    pub parent_numbers: Vec<i16>,
    /// The clauses after the referenced columns: MATCH, actions and deferrability.
    pub tail: Fragment,
    /// Whether it is validated for all rows.
    pub is_valid: bool,
    /// Whether it is one with PERIOD.
    pub is_period: bool,
    /// The leaf partitions of the referencing table, and the names of the key there.
    pub leaves: Vec<(QualifiedName, Ident)>,
    /// Its comment.
    pub comment: Option<String>,
}

impl ForeignKey {
    /// All foreign keys from and to a table.
    pub async fn list(client: &Client, table: u32) -> Result<Vec<Self>> {
        // ON DELETE SET NULL (columns) came with PostgreSQL 15.
        let version: i32 = client
            .query_one("select pg_catalog.current_setting('server_version_num')::int4", &[])
            .await?
            .get(0);
        let set_columns = if version >= 150_000 {
            "array(select a.attname::text from pg_catalog.unnest(con.confdelsetcols) with ordinality k(attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = con.conrelid and a.attnum = k.attnum order by k.place)"
        } else {
            "'{}'::text[]"
        };
        let statement =
            sql!("catalog/list_foreign_keys.sql").fill("delete_set_columns", &Fragment::trusted(set_columns));
        client.query(&statement.text(), &[&table]).await?.iter().map(Self::from_row).collect()
    }

    fn from_row(row: &Row) -> Result<Self> {
        let idents = |column: &str| -> Result<Vec<Ident>> {
            Ok(row.try_get::<_, Vec<String>>(column)?.into_iter().map(Ident::new).collect())
        };
        let definitions = |column: &str| -> Result<Vec<Fragment>> {
            Ok(row.try_get::<_, Vec<String>>(column)?.into_iter().map(Fragment::trusted).collect())
        };
        let name = |prefix: &str| -> Result<QualifiedName> {
            Ok(QualifiedName::new(
                row.try_get::<_, String>(format!("{prefix}_schema").as_str())?,
                row.try_get::<_, String>(format!("{prefix}_name").as_str())?,
            ))
        };
        Ok(ForeignKey {
            oid: row.try_get("oid")?,
            name: Ident::new(row.try_get::<_, String>("name")?),
            child: name("child")?,
            child_oid: row.try_get("child_oid")?,
            child_is_unlogged: row.try_get("child_is_unlogged")?,
            parent: name("parent")?,
            parent_oid: row.try_get("parent_oid")?,
            parent_is_unlogged: row.try_get("parent_is_unlogged")?,
            child_columns: idents("child_columns")?,
            parent_columns: idents("parent_columns")?,
            child_definitions: definitions("child_definitions")?,
            parent_definitions: definitions("parent_definitions")?,
            child_numbers: row.try_get("child_numbers")?,
            parent_numbers: row.try_get("parent_numbers")?,
            tail: tail(row, &idents("delete_set_columns")?)?,
            is_valid: row.try_get("is_valid")?,
            is_period: row.try_get("is_period")?,
            leaves: leaves(row)?,
            comment: row.try_get("comment")?,
        })
    }

    /// Whether it references its own table.
    #[must_use]
    pub fn is_self_referencing(&self) -> bool {
        self.child_oid == self.parent_oid
    }

    /// The clause `foreign key (..) references parent (..) ..`.
    #[must_use]
    pub fn clause(&self, parent: &QualifiedName) -> Fragment {
        Fragment::trusted(format!(
            "foreign key ({}) references {parent} ({}){}",
            Fragment::join(&self.child_columns, ", "),
            Fragment::join(&self.parent_columns, ", "),
            self.tail
        ))
    }
}

fn leaves(row: &Row) -> Result<Vec<(QualifiedName, Ident)>> {
    let texts = |column: &str| -> Result<Vec<String>> { Ok(row.try_get(column)?) };
    let tables = texts("leaf_schemas")?.into_iter().zip(texts("leaf_tables")?);
    Ok(tables
        .zip(texts("leaf_names")?)
        .map(|((schema, table), name)| (QualifiedName::new(schema, table), Ident::new(name)))
        .collect())
}

/// <https://www.postgresql.org/docs/current/catalog-pg-constraint.html>
fn tail(row: &Row, delete_set_columns: &[Ident]) -> Result<Fragment> {
    let action = |code: &str| match code {
        "a" => Ok("no action"),
        "r" => Ok("restrict"),
        "c" => Ok("cascade"),
        "n" => Ok("set null"),
        "d" => Ok("set default"),
        other => Err(Error::failed(format!("unknown foreign key action {other:?}"))),
    };
    let mut text = String::new();
    if row.try_get::<_, &str>("match_type")? == "f" {
        text.push_str(" match full");
    }
    text.push_str(&format!(" on update {}", action(row.try_get("on_update")?)?));
    text.push_str(&format!(" on delete {}", action(row.try_get("on_delete")?)?));
    if !delete_set_columns.is_empty() {
        text.push_str(&format!(" ({})", Fragment::join(delete_set_columns, ", ")));
    }
    if row.try_get("is_deferrable")? {
        text.push_str(" deferrable");
    }
    if row.try_get("is_deferred")? {
        text.push_str(" initially deferred");
    }
    if !row.try_get::<_, bool>("is_enforced")? {
        text.push_str(" not enforced");
    }
    Ok(Fragment::trusted(text))
}
