//! Sessions of a migration. Each works as the table's owner, with the settings under which the casts were planned. All
//! other settings are reset to a known state, even if a role, a database or the configuration sets them.

use std::ops::Deref;
use std::sync::Arc;

use tokio_postgres::Client;

use super::known_state::{self, RECORDED};
use super::{Connection, Target};
use crate::error::{Error, Result};
use crate::name::{Ident, Literal};

/// Settings that every session of pgrecast sets first: values other than the built-in ones, and timeouts that could
/// cancel the statements that follow.
const OURS: [(&str, &str); 17] = [
    ("statement_timeout", "0"),
    ("lock_timeout", "10s"), // for locks on our own objects; `lock` requests those on the application's tables
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("default_tablespace", ""),
    ("default_table_access_method", "heap"),
    ("row_security", "off"), // an error instead of a silently filtered copy
    ("client_connection_check_interval", "2s"), // backends of a killed run end soon
    ("client_min_messages", "warning"),
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    ("transform_null_equals", "off"),
    ("plan_cache_mode", "auto"),
    ("jit", "off"), // compilation costs more than it saves for such short statements
];

/// Settings that limit a session to one processor, without parallel workers. With little memory an index is written
/// gradually while it is merged, not all at once.
const NICE: [(&str, &str); 3] = [
    ("max_parallel_maintenance_workers", "0"),
    ("max_parallel_workers_per_gather", "0"),
    ("maintenance_work_mem", "32MB"),
];

/// Opens sessions for one migration.
#[derive(Debug, Clone)]
pub struct Sessions {
    target: Arc<Target>,
    label: String,
    owner: Option<Ident>,
    settings: Vec<(String, String)>,
    is_nice: bool,
    maintenance_work_mem: Option<u32>,
}

/// An open connection that is set up.
#[derive(Debug)]
pub struct Session(Connection);

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Session {
    /// The backend's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.pid()
    }
}

impl Sessions {
    /// Sessions without a migration: they use the connecting role and its settings.
    #[must_use]
    pub fn new(target: Arc<Target>) -> Self {
        Sessions {
            target,
            label: "-".into(),
            owner: None,
            settings: Vec::new(),
            is_nice: false,
            maintenance_work_mem: None,
        }
    }

    /// Sessions on the same server for a migration: `label` is its short id.
    #[must_use]
    pub fn for_migration(&self, label: &str, owner: &Ident, settings: &[(String, String)]) -> Self {
        Sessions {
            target: Arc::clone(&self.target),
            label: label.to_owned(),
            owner: Some(owner.clone()),
            settings: settings.to_vec(),
            is_nice: false,
            maintenance_work_mem: None,
        }
    }

    /// The same, limited to one processor and little memory, or not.
    #[must_use]
    pub fn nice(self, is_nice: bool) -> Self {
        Sessions { is_nice, ..self }
    }

    /// The same, with this amount of memory for an index build, in kB; or with the default.
    #[must_use]
    pub fn with_maintenance_work_mem(self, kilobytes: Option<u32>) -> Self {
        Sessions { maintenance_work_mem: kilobytes, ..self }
    }

    /// Opens a session that writes much, and whose commits need not wait for the disk. A crash loses rows and their
    /// record together, and everything after them (the WAL is one sequence), or nothing.
    /// <https://www.postgresql.org/docs/current/wal-async-commit.html>
    pub async fn open_worker(&self, role: &str) -> Result<Session> {
        let session = self.open(role).await?;
        session.batch_execute("set synchronous_commit = off").await?;
        Ok(session)
    }

    /// Opens a session. `role` shows its purpose in `pg_stat_activity`.
    pub async fn open(&self, role: &str) -> Result<Session> {
        let connection = self.target.connect(&format!("pgrecast {} {role}", self.label)).await?;
        connection.batch_execute(&set_all(OURS)).await?;
        let mut others = known_state::read(&connection).await?;
        others.retain(known_state::goes_back);
        let size = self.maintenance_work_mem.map(|kilobytes| format!("{kilobytes}kB"));
        let memory = size.iter().map(|size| ("maintenance_work_mem", size.as_str()));
        let recorded = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let nice = NICE.into_iter().filter(|_| self.is_nice);
        let built_in = others.iter().map(|setting| (setting.name.as_str(), setting.built_in.as_str()));
        let mut text = set_all(built_in.chain(nice).chain(memory).chain(recorded));
        if let Some(owner) = &self.owner {
            text.push_str(&format!("set role {owner};"));
        }
        connection.batch_execute(&text).await.map_err(|error| {
            Error::from(error).context("could not set up a session").hint(match &self.owner {
                Some(owner) => format!("The role must be a member of {owner}, which owns the table."),
                None => "Check the server's log.".to_owned(),
            })
        })?;
        Ok(Session(connection))
    }

    /// Reads the settings to record with a migration, from this session.
    pub async fn settings_to_record(client: &Client) -> Result<Vec<(String, String)>> {
        let mut settings = Vec::new();
        for name in RECORDED {
            let value: String =
                client.query_one("select pg_catalog.current_setting($1)", &[&name]).await?.try_get(0)?;
            settings.push((name.to_owned(), value));
        }
        Ok(settings)
    }
}

/// The statements that set these settings, in this order.
fn set_all<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in settings {
        // set_config accepts a list, such as search_path, as one string in the format of SHOW.
        text.push_str(&format!(
            "select pg_catalog.set_config({}, {}, false);",
            Literal(name),
            Literal(value)
        ));
    }
    text
}
