//! Objects elsewhere that name a relation: views that read it, rules, policies, functions, publications. They name it
//! by oid, so that when another table takes its place each has to be made to name that one.

use tokio_postgres::{Client, Row};

use super::inventory::set_role;
use crate::error::Result;
use crate::name::{Fragment, Ident, QualifiedName, sql};

/// What `set_grants.sql` is filled with.
type Grants = [(&'static str, &'static str); 7];

const VIEW_GRANTS: Grants = [
    ("what", "table"),
    ("catalog", "pg_class"),
    ("prefix", "rel"),
    ("named_by", "regclass"),
    ("acl_class", "'r'"),
    ("name", "v.name"),
    ("wanted", "v.relacl"),
];

const ROUTINE_GRANTS: Grants = [
    ("what", "routine"),
    ("catalog", "pg_proc"),
    ("prefix", "pro"),
    ("named_by", "regprocedure"),
    ("acl_class", "'f'"),
    ("name", "p.oid::regprocedure"),
    ("wanted", "p.proacl"),
];

fn set_grants(grants: &Grants) -> Fragment {
    let statement = sql!("catalog/set_grants.sql");
    let filled = grants
        .iter()
        .fold(statement, |statement, (hole, text)| statement.fill(hole, &Fragment::trusted(*text)));
    Fragment::trusted(filled.text())
}

/// A view or materialized view.
#[derive(Debug, Clone)]
pub struct View {
    /// Its oid.
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// Whether it keeps its rows.
    pub is_materialized: bool,
    /// The role that owns it.
    pub owner: Ident,
    /// The role that makes it: a superuser that connects, or else the owner.
    pub role: Ident,
    /// Why it can not be made to name another relation, if it can not.
    pub obstacle: Option<String>,
    /// Whether the role that connects may act as its owner.
    pub may_act: bool,
    /// The GRANT that its owner still needs.
    pub missing: Option<String>,
    /// Access method, options and tablespace, as they stand between its name and its query.
    pub clauses: String,
    /// Whether it may be read: a materialized view has to be filled first.
    pub is_populated: bool,
    /// Its query.
    pub definition: String,
    /// Name, type, length and collation of each column.
    pub columns: Vec<String>,
    /// The relations that it names.
    pub sources: Vec<u32>,
}

impl View {
    /// All views that read one of the relations, directly or not, in an order in which they can be made.
    pub async fn list(client: &Client, relations: &[u32]) -> Result<Vec<Self>> {
        let statement = Self::statement("$1::oid[]");
        client.query(statement.as_str(), &[&relations]).await?.iter().map(Self::from_row).collect()
    }

    /// The query behind [`View::list`]; `relations` is an expression.
    pub(super) fn statement(relations: &str) -> Fragment {
        let readers = Fragment::trusted(sql!("catalog/readers.sql").text());
        let statement = sql!("catalog/list_views.sql")
            .fill("relations", &Fragment::trusted(relations))
            .fill("readers", &readers)
            .fill("set_role", &set_role());
        Fragment::trusted(statement.text())
    }

    fn from_row(row: &Row) -> Result<Self> {
        Ok(View {
            oid: row.try_get("oid")?,
            name: QualifiedName::new(
                row.try_get::<_, String>("schema_name")?,
                row.try_get::<_, String>("name")?,
            ),
            is_materialized: row.try_get("is_materialized")?,
            owner: Ident::new(row.try_get::<_, String>("owner")?),
            role: Ident::new(row.try_get::<_, String>("role_name")?),
            obstacle: row.try_get("obstacle")?,
            may_act: row.try_get("may_act")?,
            missing: row.try_get("missing")?,
            clauses: row.try_get("clauses")?,
            is_populated: row.try_get("is_populated")?,
            definition: row.try_get("definition")?,
            columns: row.try_get("columns")?,
            sources: row.try_get::<_, Vec<Option<u32>>>("sources")?.into_iter().flatten().collect(),
        })
    }

    /// The statement that makes it, or puts another query into it.
    #[must_use]
    pub fn create(&self, words: &str) -> String {
        format!("{words} {}{} as {}", self.name, self.clauses, self.definition)
    }

    /// What it has besides its query and clauses, as statements that give it to a view of this name.
    pub async fn furniture(&self, client: &Client, name: &QualifiedName) -> Result<Vec<String>> {
        let statement = sql!("catalog/list_view_furniture.sql").fill("set_grants", &set_grants(&VIEW_GRANTS));
        let rows = client.query(&statement.text(), &[&self.oid, &name.to_string()]).await?;
        rows.iter().map(|row| Ok(row.try_get("statement")?)).collect()
    }
}

/// A rule, policy, function or publication.
#[derive(Debug, Clone)]
pub struct Referrer {
    /// `rule`, `policy`, ..
    pub kind: String,
    /// Its name, in a schema where it has none of its own: that of its table.
    pub name: QualifiedName,
    /// The relation that it stands on.
    pub table: Option<QualifiedName>,
    /// Whether that is one of those it was listed for.
    pub is_own: bool,
    /// As a person calls it.
    pub shown: String,
    /// The role that makes it: a superuser that connects, or else the owner; of a publication, who owns the table too.
    pub role: Option<Ident>,
    /// The role that owns it, or its table.
    pub owner: Option<Ident>,
    /// Whether the role that connects may act as that.
    pub may_act: bool,
    /// The GRANT that its owner still needs.
    pub missing: Option<String>,
    /// Why it can not be made to name another relation, if it can not.
    pub obstacle: Option<String>,
    /// What would have to go while it is dropped.
    pub used_by: Option<String>,
    /// The statements that make it.
    pub make: Vec<String>,
    /// The statements that change it where it is, if that is possible.
    pub change: Option<Vec<String>>,
    /// The statement that drops it.
    pub drop: String,
}

impl Referrer {
    /// All that name one of the relations.
    pub async fn list(client: &Client, relations: &[u32]) -> Result<Vec<Self>> {
        let statement = Self::statement(client, "$1::oid[]").await?;
        client.query(statement.as_str(), &[&relations]).await?.iter().map(Self::from_row).collect()
    }

    /// The query behind [`Referrer::list`]; `relations` is an expression.
    pub(super) async fn statement(client: &Client, relations: &str) -> Result<Fragment> {
        // Column lists and row filters came with PostgreSQL 15.
        let version: i32 = client
            .query_one("select pg_catalog.current_setting('server_version_num')::int4", &[])
            .await?
            .try_get(0)?;
        let (columns, filter) = if version >= 150_000 {
            (
                "(select ' (' || pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by k.n) || ')'
                  from pg_catalog.unnest(r.prattrs) with ordinality k(attnum, n)
                  join pg_catalog.pg_attribute a on a.attrelid = r.prrelid and a.attnum = k.attnum)",
                "' where (' || pg_catalog.pg_get_expr(r.prqual, r.prrelid) || ')'",
            )
        } else {
            ("''", "''")
        };
        let statement = sql!("catalog/list_others.sql")
            .fill("relations", &Fragment::trusted(relations))
            .fill("set_role", &set_role())
            .fill("set_grants", &set_grants(&ROUTINE_GRANTS))
            .fill("publication_columns", &Fragment::trusted(columns))
            .fill("publication_filter", &Fragment::trusted(filter));
        Ok(Fragment::trusted(statement.text()))
    }

    fn from_row(row: &Row) -> Result<Self> {
        let table: (Option<String>, Option<String>) =
            (row.try_get("table_schema")?, row.try_get("table_name")?);
        Ok(Referrer {
            kind: row.try_get("kind")?,
            name: QualifiedName::new(
                row.try_get::<_, String>("schema_name")?,
                row.try_get::<_, String>("name")?,
            ),
            table: table.0.zip(table.1).map(|(schema, name)| QualifiedName::new(schema, name)),
            is_own: row.try_get("is_own")?,
            shown: row.try_get("shown")?,
            role: row.try_get::<_, Option<String>>("role_name")?.map(Ident::new),
            owner: row.try_get::<_, Option<String>>("owner")?.map(Ident::new),
            may_act: row.try_get("may_act")?,
            missing: row.try_get("missing")?,
            obstacle: row.try_get("obstacle")?,
            used_by: row.try_get("used_by")?,
            make: row.try_get("make")?,
            change: row.try_get("change")?,
            drop: row.try_get("drop")?,
        })
    }
}
