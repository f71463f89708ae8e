//! Objects outside of a relation that refer to it: views that read it, rules, policies, functions, publications. They
//! refer to it by oid. So if another table replaces it, each must be changed to refer to the new one.

use std::collections::{HashMap, HashSet};

use tokio_postgres::{Client, Row};

use super::inventory::set_role;
use crate::error::{Error, Result};
use crate::name::{Fragment, Ident, QualifiedName, sql};

/// The placeholders of `set_grants.sql`.
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
    /// Whether it is materialized.
    pub is_materialized: bool,
    /// The role that owns it.
    pub owner: Ident,
    /// The role that creates it: the connecting superuser, otherwise the owner.
    pub role: Ident,
    /// Why it cannot be changed to refer to another relation, if it cannot.
    pub obstacle: Option<String>,
    /// Whether the connecting role may SET ROLE to its owner.
    pub may_act: bool,
    /// The GRANT that its owner still needs.
    pub missing: Option<String>,
    /// The clauses between its name and its query: access method, options and tablespace.
    pub clauses: String,
    /// Whether it is populated, if it is a materialized view.
    pub is_populated: bool,
    /// Its query.
    pub definition: String,
    /// Name, type, length and collation of each column.
    pub columns: Vec<String>,
    /// The relations to which it refers, and those whose row types are in signatures of functions that it calls.
    pub sources: Vec<u32>,
    /// The functions that it calls.
    pub calls: Vec<u32>,
}

impl View {
    /// All views that read one of the relations, directly or not, in an order in which they can be created.
    pub async fn list(client: &Client, relations: &[u32]) -> Result<Vec<Self>> {
        let statement = Self::statement("$1::oid[]");
        let rows = client.query(statement.as_str(), &[&relations]).await?;
        Ok(in_order(rows.iter().map(Self::from_row).collect::<Result<_>>()?))
    }

    /// The query of [`View::list`]; `relations` is an expression.
    pub(super) fn statement(relations: &str) -> Fragment {
        let readers = Fragment::trusted(sql!("catalog/readers.sql").text());
        let statement = sql!("catalog/list_views.sql")
            .fill("relations", &Fragment::trusted(relations))
            .fill("readers", &readers)
            .fill("set_role", &set_role());
        Fragment::trusted(statement.text())
    }

    /// The names of the views that read one of the relations directly.
    pub async fn readers(client: &Client, relations: &[u32]) -> Result<Vec<QualifiedName>> {
        let readers = Fragment::trusted(sql!("catalog/readers.sql").text());
        let statement = sql!("catalog/list_readers.sql").fill("readers", &readers).text();
        let rows = client.query(&statement, &[&relations]).await?;
        rows.iter()
            .map(|row| {
                let schema: String = row.try_get("schema_name")?;
                Ok(QualifiedName::new(schema, row.try_get::<_, String>("name")?))
            })
            .collect()
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
            calls: row.try_get("calls")?,
        })
    }

    /// The statement that creates it, or replaces its query.
    #[must_use]
    pub fn create(&self, words: &str) -> String {
        format!("{words} {}{} as {}", self.name, self.clauses, self.definition)
    }
}

/// Reads everything that views have besides their queries and clauses.
#[derive(Debug)]
pub struct Furniture(tokio_postgres::Statement);

impl Furniture {
    /// Prepared, because planning it takes longer than running it.
    pub async fn prepare(client: &Client) -> Result<Self> {
        let statement = sql!("catalog/list_view_furniture.sql").fill("set_grants", &set_grants(&VIEW_GRANTS));
        Ok(Furniture(client.prepare(&statement.text()).await?))
    }

    /// The statements that give the view called `name` everything that `view` has besides its query.
    pub async fn of(&self, client: &Client, view: &View, name: &QualifiedName) -> Result<Vec<String>> {
        let rows = client.query(&self.0, &[&view.oid, &name.to_string()]).await?;
        rows.iter().map(|row| Ok(row.try_get("statement")?)).collect()
    }
}

/// Each view after those that it reads. Views that read each other in a circle, which can be defined but not read, keep
/// their order.
fn in_order(views: Vec<View>) -> Vec<View> {
    let sources: Vec<(u32, Vec<u32>)> = views.iter().map(|view| (view.oid, view.sources.clone())).collect();
    let places: HashMap<u32, usize> =
        order_of(&sources).into_iter().enumerate().map(|(n, oid)| (oid, n)).collect();
    let mut views = views;
    views.sort_by_key(|view| places.get(&view.oid).copied());
    views
}

/// The first of each pair, ordered so that it follows the elements of its second. Visits each one once.
fn order_of(sources: &[(u32, Vec<u32>)]) -> Vec<u32> {
    let known: HashMap<u32, &[u32]> = sources.iter().map(|(oid, from)| (*oid, from.as_slice())).collect();
    let (mut seen, mut order) = (HashSet::new(), Vec::with_capacity(sources.len()));
    for (first, _) in sources {
        // No recursion: chains of views may be long.
        let mut stack = vec![(*first, false)];
        while let Some((oid, is_left)) = stack.pop() {
            if is_left {
                order.push(oid);
            } else if let Some(from) = known.get(&oid)
                && seen.insert(oid)
            {
                stack.push((oid, true));
                stack.extend(from.iter().map(|source| (*source, false)));
            }
        }
    }
    order
}

/// The kind of an object that refers to a table, other than a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferrerKind {
    /// A rule of any relation.
    Rule,
    /// A policy of any table.
    Policy,
    /// A function that uses the row type, or has a parsed body.
    Function,
    /// A publication.
    Publication,
}

impl ReferrerKind {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReferrerKind::Rule => "rule",
            ReferrerKind::Policy => "policy",
            ReferrerKind::Function => "function",
            ReferrerKind::Publication => "publication",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        [Self::Rule, Self::Policy, Self::Function, Self::Publication]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::failed(format!("unknown kind of referrer {text:?}")))
    }
}

/// A rule, policy, function or publication.
#[derive(Debug, Clone)]
pub struct Referrer {
    /// Its oid.
    pub oid: u32,
    /// Its kind.
    pub kind: ReferrerKind,
    /// Of a function: the relations whose row types its signature has.
    pub types: Vec<u32>,
    /// Its name, in the schema of its table if it has no schema itself.
    pub name: QualifiedName,
    /// The relation to which it is attached.
    pub table: Option<QualifiedName>,
    /// Whether that is one of the listed relations.
    pub is_own: bool,
    /// Its name for messages.
    pub shown: String,
    /// The role that creates it: the connecting superuser, otherwise the owner; for a publication, a role that also
    /// owns the table.
    pub role: Option<Ident>,
    /// The role that owns it, or its table.
    pub owner: Option<Ident>,
    /// Whether the connecting role may SET ROLE to it.
    pub may_act: bool,
    /// The GRANT that its owner still needs.
    pub missing: Option<String>,
    /// Why it cannot be changed to refer to another relation, if it cannot.
    pub obstacle: Option<String>,
    /// The object that would have to be dropped before it.
    pub used_by: Option<String>,
    /// Whether only views use it.
    pub is_used_by_views_only: bool,
    /// The statements that create it.
    pub make: Vec<String>,
    /// The statements that alter it in place, if possible.
    pub change: Option<Vec<String>>,
    /// The statement that drops it.
    pub drop: String,
}

impl Referrer {
    /// All objects that refer to one of the relations.
    pub async fn list(client: &Client, relations: &[u32]) -> Result<Vec<Self>> {
        let statement = Self::statement(client, "$1::oid[]").await?;
        client.query(statement.as_str(), &[&relations]).await?.iter().map(Self::from_row).collect()
    }

    /// The query of [`Referrer::list`]; `relations` is an expression.
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
            oid: row.try_get("oid")?,
            kind: ReferrerKind::parse(row.try_get("kind")?)?,
            types: row.try_get::<_, Option<_>>("types")?.unwrap_or_default(),
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
            is_used_by_views_only: row.try_get::<_, Option<_>>("is_used_by_views_only")?.unwrap_or_default(),
            make: row.try_get("make")?,
            change: row.try_get("change")?,
            drop: row.try_get("drop")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_comes_behind_those_that_it_reads() {
        assert_eq!(order_of(&[(5, vec![9, 1]), (7, vec![5]), (9, vec![1])]), [9, 5, 7]);
        assert_eq!(order_of(&[(5, vec![7]), (7, vec![5])]), [7, 5], "a circle ends");
        let chain: Vec<(u32, Vec<u32>)> = (0..100_000).map(|n| (n, vec![n + 1])).collect();
        assert_eq!(order_of(&chain)[0], 99_999, "a long chain");
    }
}
