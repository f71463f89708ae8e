//! Opens a session: tries each endpoint, each of its addresses, and each allowed kind of encryption in turn.
//!
//! The order is that of libpq. The loop is our own and not that of tokio-postgres. So every endpoint has its own
//! password, a socket never uses TLS, a timeout covers the whole handshake, and an error can name the endpoint. Nothing
//! is tried twice in the same way.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Config, SimpleQueryMessage};

use super::connection::{Connection, ServerVersion};
use super::endpoint::Endpoint;
use super::failure::{self, Failure};
use super::pooler;
use super::target::Target;
use crate::error::Result;
use crate::name::sql;

/// The time limit for opening the second connection, and for the check with it.
const BESIDE: Duration = Duration::from_secs(5);

impl Target {
    /// Connects; the server shows the session under `application_name`.
    pub async fn connect(&self, application_name: &str) -> Result<Connection> {
        let mut failures = Vec::new();
        for endpoint in &self.endpoints {
            match self.connect_to(endpoint, application_name).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => {
                    let go_on = failure.is_about_this_place();
                    failures.push((endpoint, failure));
                    if !go_on {
                        break;
                    }
                }
            }
        }
        Err(failure::explain(self, &failures))
    }

    async fn connect_to(&self, endpoint: &Endpoint, application_name: &str) -> Result<Connection, Failure> {
        let attempts = if endpoint.is_socket() { &[SslMode::Disable] } else { self.tls.attempts };
        let mut last = None;
        for address in self.addresses(endpoint).await? {
            let mut worst: Option<Failure> = None;
            for mode in attempts {
                let config = self.config_for(endpoint, address, *mode, application_name);
                let failure = match self.in_time(self.open(config)).await {
                    Ok(connection) => return Ok(connection),
                    Err(failure) => failure,
                };
                // The error of a wrong password is more useful than that of a refused kind of encryption. If both kinds
                // are refused, the error of the preferred one is kept.
                let is_final = !failure.may_pass_with_other_encryption();
                if is_final || worst.is_none() {
                    worst = Some(failure);
                }
                if is_final {
                    break;
                }
            }
            match worst {
                Some(failure) if !failure.is_about_this_place() => return Err(failure),
                other => last = other,
            }
        }
        Err(last.unwrap_or(Failure::NoAddress))
    }

    /// The addresses of an endpoint; `None` for a socket, which has no address.
    async fn addresses(&self, endpoint: &Endpoint) -> Result<Vec<Option<IpAddr>>, Failure> {
        if endpoint.is_socket() {
            return Ok(vec![None]);
        }
        if let Some(address) = endpoint.address {
            return Ok(vec![Some(address)]);
        }
        let lookup = async {
            tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await.map_err(Failure::Lookup)
        };
        let mut addresses: Vec<_> = self.in_time(lookup).await?.map(|found| Some(found.ip())).collect();
        addresses.dedup();
        Ok(addresses)
    }

    fn config_for(
        &self,
        endpoint: &Endpoint,
        address: Option<IpAddr>,
        mode: SslMode,
        application_name: &str,
    ) -> Config {
        let mut config = self.config.clone();
        config.host(&endpoint.host).port(endpoint.port).ssl_mode(mode);
        config.application_name(application_name);
        if let Some(address) = address {
            config.hostaddr(address);
        }
        if let Some(password) = &endpoint.password {
            config.password(&password.text);
        }
        config
    }

    async fn open(&self, config: Config) -> Result<Connection, Failure> {
        let mut connection = self.reach(&config).await?;
        let statement = sql!("db/identify_session.sql").text();
        // The simple protocol: a pooler in transaction mode would keep a prepared statement.
        let messages = connection.simple_query(&statement).await.map_err(Failure::Postgres)?;
        let number = |column: &str| {
            messages.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(column)?.parse::<i32>().ok(),
                _ => None,
            })
        };
        let (pid, version) = (number("pid").unwrap_or_default(), number("version").unwrap_or_default());
        let version = ServerVersion(version.unsigned_abs());
        if version < ServerVersion::OLDEST {
            return Err(Failure::TooOld(version));
        }
        if self.live.is_doubtful(pid) {
            self.expect_session(&config, &connection).await?;
        }
        connection.identified(pid, version, &self.live);
        Ok(connection)
    }

    async fn reach(&self, config: &Config) -> Result<Connection, Failure> {
        let connector = self.tls.connector.clone();
        let (client, connection) = config.connect(connector.clone()).await.map_err(Failure::Postgres)?;
        Ok(Connection::new(client, tokio::spawn(drive(connection)), connector))
    }

    /// Checks with a second connection that this one is a session with one server process. If no second connection can
    /// be opened, the check is skipped, and the next session repeats it.
    async fn expect_session(&self, config: &Config, connection: &Connection) -> Result<(), Failure> {
        let beside = tokio::time::timeout(BESIDE, self.reach(config)).await;
        let Ok(Ok(beside)) = beside else { return Ok(()) };
        match tokio::time::timeout(BESIDE, pooler::find(connection, &beside)).await {
            Ok(Ok(None)) => {
                self.live.is_direct();
                Ok(())
            }
            Ok(Ok(Some(found))) => Err(Failure::Pooled(found)),
            Ok(Err(error)) => Err(Failure::Postgres(error)),
            Err(_) => Ok(()),
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let Some(limit) = self.connect_timeout else { return work.await };
        tokio::time::timeout(limit, work).await.unwrap_or(Err(Failure::TimedOut(limit)))
    }
}

/// Transfers data until the session ends; asynchronous messages of the server go to the log.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                // Without its text: a message that a trigger of the application raises may contain row values.
                let (code, routine) = (notice.code().code(), notice.routine());
                tracing::debug!(severity = notice.severity(), sqlstate = code, routine, "server notice");
            }
            Ok(_) => {}
            Err(error) => {
                // A caller that waits for an answer gets its own error.
                tracing::debug!(%error, "the session ended");
                return;
            }
        }
    }
}
