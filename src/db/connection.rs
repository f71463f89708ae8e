//! A session with the server.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::pooler::Live;
use crate::error::Result;

/// The server's numeric version: 150004 is 15.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion(pub u32);

impl ServerVersion {
    /// The oldest supported version.
    pub const OLDEST: ServerVersion = ServerVersion(140_000);

    /// The major version.
    #[must_use]
    pub fn major(self) -> u32 {
        self.0 / 10_000
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.major() < 10 {
            return write!(f, "{}.{}.{}", self.major(), self.0 / 100 % 100, self.0 % 100);
        }
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}

/// A session; use it as the [`Client`] to which it derefs. Dropping it ends the session cleanly. If a statement is
/// running, the socket is closed after half a second, and the server notices when it next sends data.
pub struct Connection {
    client: Client,
    driver: Option<JoinHandle<()>>,
    connector: MakeRustlsConnect,
    pid: i32,
    server_version: ServerVersion,
    live: Option<Live>,
}

impl Connection {
    pub(super) fn new(client: Client, driver: JoinHandle<()>, connector: MakeRustlsConnect) -> Self {
        Connection {
            client,
            driver: Some(driver),
            connector,
            pid: 0,
            server_version: ServerVersion(0),
            live: None,
        }
    }

    pub(super) fn identified(&mut self, pid: i32, server_version: ServerVersion, live: &Live) {
        self.pid = pid;
        self.server_version = server_version;
        live.add(pid);
        self.live = Some(live.clone());
    }

    /// The server process that serves this session.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The server's version.
    #[must_use]
    pub fn server_version(&self) -> ServerVersion {
        self.server_version
    }

    /// Whether the session has ended, for any reason.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Asks the server to cancel the current statement of this session.
    pub async fn cancel(&self) -> Result<()> {
        self.canceller().cancel().await
    }

    /// A handle that cancels this session's statement while the session is in use.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), connector: self.connector.clone() }
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("pid", &self.pid)
            .field("server_version", &self.server_version)
            .finish_non_exhaustive()
    }
}

/// How long a session may take to end cleanly. After that its socket is closed.
const GOODBYE: Duration = Duration::from_millis(500);

/// Sessions that are ending.
static CLOSING: AtomicUsize = AtomicUsize::new(0);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.remove(self.pid);
        }
        let Some(mut driver) = self.driver.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return driver.abort() };
        // The driver ends when the client is dropped, which is next, and all requests are answered. Without the limit
        // it would continue until a running statement ends.
        CLOSING.fetch_add(1, Ordering::Relaxed);
        runtime.spawn(async move {
            if tokio::time::timeout(GOODBYE, &mut driver).await.is_err() {
                driver.abort();
            }
            CLOSING.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Waits until all dropped sessions are closed. Otherwise the server logs unexpected ends of connections.
pub async fn all_closed() {
    while CLOSING.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Cancels the current statement of its session; outlives the session.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    connector: MakeRustlsConnect,
}

impl Canceller {
    /// Sends the request, with the same encryption as the session. The server does not report whether it cancelled
    /// anything; only the result of the statement shows that.
    pub async fn cancel(&self) -> Result<()> {
        Ok(self.token.cancel_query(self.connector.clone()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_shown_as_the_server_shows_them() {
        assert_eq!(ServerVersion(150_004).to_string(), "15.4");
        assert_eq!(ServerVersion(90_624).to_string(), "9.6.24");
        assert!(ServerVersion(130_022) < ServerVersion::OLDEST);
    }
}
