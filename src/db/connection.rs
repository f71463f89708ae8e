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

/// A server's version as it numbers it itself: 150004 is 15.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion(pub u32);

impl ServerVersion {
    /// The oldest that we work with.
    pub const OLDEST: ServerVersion = ServerVersion(140_000);

    /// The number that changes once a year.
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

/// A session; use it as the [`Client`] it derefs to. Dropping it ends it in good order; under a running statement it
/// closes the socket after half a second, and the server then notices when it next has something to send.
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

    /// Whether the session is over, whoever ended it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Asks the server to cancel what this session is doing now.
    pub async fn cancel(&self) -> Result<()> {
        self.canceller().cancel().await
    }

    /// What can cancel this session's statement from elsewhere, while the session itself is in use.
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

/// How long a session may take to say goodbye. One that is under a statement then loses its socket.
const GOODBYE: Duration = Duration::from_millis(500);

/// Sessions that are saying goodbye.
static CLOSING: AtomicUsize = AtomicUsize::new(0);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.remove(self.pid);
        }
        let Some(mut driver) = self.driver.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return driver.abort() };
        // The driver ends as soon as the client is dropped, which is next, and what was sent is answered. Left to itself
        // it would stay until a running statement ends.
        CLOSING.fetch_add(1, Ordering::Relaxed);
        runtime.spawn(async move {
            if tokio::time::timeout(GOODBYE, &mut driver).await.is_err() {
                driver.abort();
            }
            CLOSING.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Waits until all sessions that were dropped are closed: a program that ends before leaves complaints in the server's log.
pub async fn all_closed() {
    while CLOSING.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Cancels whatever its session is doing at that moment; outlives the session.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    connector: MakeRustlsConnect,
}

impl Canceller {
    /// Sends the request, encrypted as the session is. The server does not say whether there was
    /// anything to cancel; the statement's own result does.
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
