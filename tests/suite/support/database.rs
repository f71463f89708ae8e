//! A database per test, and roles with exact rights in it.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{Client, Row};

use super::cluster::{Cluster, bin_directory};

/// The role that owns everything unless a test says otherwise.
pub const SUPERUSER: &str = "postgres";

/// The database of one test. It is dropped with its roles if the test passes; after a failure it stays as long as the
/// cluster runs.
pub struct TestDb<'c> {
    cluster: &'c Cluster,
    name: String,
    admin: Client,
    roles: Mutex<Vec<String>>,
    /// The server's major version.
    pub version: i32,
    pub(super) little_is_much: bool,
}

/// A role that can log in. Its name is unique in the cluster.
#[derive(Debug, Clone)]
pub struct Role {
    /// As given to `PGUSER`. Needs no quotes in SQL.
    pub name: String,
}

impl TestDb<'static> {
    /// A new, empty database in the shared cluster. The hint (lower case, digits, underscores) is part of
    /// its name.
    pub async fn create(hint: &str) -> TestDb<'static> {
        TestDb::create_in(Cluster::shared(), hint).await
    }
}

impl<'c> TestDb<'c> {
    /// A new, empty database in a given cluster.
    pub async fn create_in(cluster: &'c Cluster, hint: &str) -> TestDb<'c> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("t{}_{hint}", NEXT.fetch_add(1, Ordering::Relaxed));
        cluster
            .connect("postgres", SUPERUSER)
            .await
            .batch_execute(&format!("create database {name} template template0"))
            .await
            .unwrap_or_else(|error| panic!("could not create database {name}: {error:?}"));
        let admin = cluster.connect(&name, SUPERUSER).await;
        let version = "select current_setting('server_version_num')::int / 10000";
        let version = admin.query_one(version, &[]).await.expect("a server has a version").get(0);
        TestDb { cluster, name, admin, roles: Mutex::default(), version, little_is_much: false }
    }

    /// Small tables use the code paths of large ones: several sessions replay even a few changes.
    #[must_use]
    pub fn with_little_as_much(mut self) -> Self {
        self.little_is_much = true;
        self
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster it is in.
    pub fn cluster(&self) -> &'c Cluster {
        self.cluster
    }

    /// Connects again after a restart of the server.
    pub async fn connect_again(&mut self) {
        self.admin = self.connect().await;
    }

    /// The connection that [`TestDb::execute`] and the queries use.
    pub fn client(&self) -> &Client {
        &self.admin
    }

    /// A new connection as superuser.
    pub async fn connect(&self) -> Client {
        self.cluster.connect(&self.name, SUPERUSER).await
    }

    /// A new connection as a role.
    pub async fn connect_as(&self, role: &Role) -> Client {
        self.cluster.connect(&self.name, &role.name).await
    }

    /// Runs statements, separated by semicolons; panics with the server's message if one fails. What stands in
    /// `/*since 15*/ .. /*end*/` is left out on servers older than that.
    pub async fn execute(&self, statements: &str) {
        let statements = &self.as_it_knows(statements);
        if let Err(error) = self.admin.batch_execute(statements).await {
            panic!("{}\nin: {statements}", said(&error));
        }
    }

    /// Statements without what this server is too old for.
    fn as_it_knows(&self, statements: &str) -> String {
        let mut parts = statements.split("/*since ");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (since, rest) = part.split_once("*/").expect("/*since 15*/");
            let (words, after) = rest.split_once("/*end*/").expect("/*end*/ after /*since ..*/");
            if self.version >= since.parse().expect("a major version") {
                out.push_str(words);
            }
            out.push_str(after);
        }
        out
    }

    /// The rows of a query.
    pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.admin.query(sql, parameters).await.unwrap_or_else(|error| panic!("{}\nin: {sql}", said(&error)))
    }

    /// The first column of a query's only row.
    pub async fn query_value<T: FromSqlOwned>(&self, sql: &str) -> T {
        let rows = self.query(sql, &[]).await;
        assert_eq!(rows.len(), 1, "one row expected from: {sql}");
        rows[0].get(0)
    }

    /// The first column of all rows.
    pub async fn query_column<T: FromSqlOwned>(&self, sql: &str) -> Vec<T> {
        self.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
    }

    /// The environment with which psql, pg_dump and pgrecast find this database, as superuser.
    pub fn psql_env(&self) -> Vec<(&'static str, String)> {
        self.psql_env_as(SUPERUSER)
    }

    /// The same as a role.
    pub fn psql_env_as(&self, role: &str) -> Vec<(&'static str, String)> {
        vec![
            ("PGHOST", self.cluster.socket_directory().display().to_string()),
            ("PGPORT", self.cluster.port().to_string()),
            ("PGUSER", role.to_owned()),
            ("PGDATABASE", self.name.clone()),
            ("PGPASSFILE", self.cluster.socket_directory().join("no-passwords").display().to_string()),
        ]
    }

    /// A role that can log in and only has the rights that the statements grant; `{role}` in them stands for its name,
    /// `{database}` for the name of the database. For example `db.role("app", "grant select, update on orders to
    /// {role}")`.
    pub async fn role(&self, hint: &str, statements: &str) -> Role {
        let name = format!("{}_{hint}", self.name);
        self.execute(&format!("create role {name} login")).await;
        self.roles.lock().expect("no panic while locked").push(name.clone());
        let statements = statements.replace("{role}", &name).replace("{database}", &self.name);
        self.execute(&statements).await;
        Role { name }
    }

    /// A role with only the rights that pgrecast needs: it owns the tables, and may create in the database and in the
    /// tables' schemas. Not a superuser.
    pub async fn owner_role(&self, hint: &str, tables: &[&str]) -> Role {
        let role = self.role(hint, "grant create on database {database} to {role}").await;
        for table in tables {
            self.execute(&format!("alter table {table} owner to {}", role.name)).await;
            let schema: String = self
                .query_value(&format!(
                    "select relnamespace::regnamespace::text from pg_class where oid = '{table}'::regclass"
                ))
                .await;
            self.execute(&format!("grant usage, create on schema {schema} to {}", role.name)).await;
        }
        role
    }

    /// Panics if the server's log reports a deadlock in this database.
    pub fn assert_no_deadlock(&self) {
        let lines = self.cluster.deadlocks_logged(&self.name);
        assert!(lines.is_empty(), "deadlocks in {}:\n{}", self.name, lines.join("\n"));
    }
}

impl Drop for TestDb<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let roles = std::mem::take(&mut *self.roles.lock().expect("no panic while locked"));
        let mut psql = Command::new(bin_directory().join("psql"));
        psql.envs(self.psql_env()).env("PGDATABASE", "postgres").args(["-qX", "-v", "ON_ERROR_STOP=1"]);
        psql.arg("-c").arg(format!("drop database if exists {} with (force)", self.name));
        for role in roles {
            psql.arg("-c").arg(format!("drop role {role}"));
        }
        // The cluster of a single test may have ended already; then there is nothing to drop.
        let _ = psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// The server's message, or otherwise the client's.
pub fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => format!(
            "{} ({}){}",
            server.message(),
            server.code().code(),
            server.detail().map(|detail| format!(": {detail}")).unwrap_or_default()
        ),
        None => format!("{error:?}"),
    }
}
