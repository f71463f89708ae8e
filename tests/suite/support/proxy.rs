//! A TCP proxy in front of a cluster, which cuts connections: all of them, or one around a commit.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::cluster::Cluster;

/// Where the connection of a swap breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The server never gets the COMMIT.
    Commit,
    /// The server has committed, the client never gets the answer.
    Answer,
}

/// A proxy on a port of 127.0.0.1. Gone when dropped.
pub struct Proxy {
    port: u16,
    cut: broadcast::Sender<()>,
    at_swap: Arc<Mutex<Option<Loss>>>,
    listener: JoinHandle<()>,
}

impl Proxy {
    /// Listens, and forwards to the cluster.
    pub async fn start(cluster: &Cluster) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let (cut, _) = broadcast::channel(1);
        let at_swap = Arc::default();
        let (sender, rule, server) = (cut.clone(), Arc::clone(&at_swap), cluster.port());
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, sender.subscribe(), Arc::clone(&rule)));
            }
        });
        Proxy { port, cut, at_swap, listener }
    }

    /// The environment variables to connect through it.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("PGHOST", "127.0.0.1".to_owned()), ("PGPORT", self.port.to_string())]
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        let _ = self.cut.send(());
    }

    /// Cuts the connection of the next swap, once.
    pub fn break_next_swap(&self, loss: Loss) {
        *self.at_swap.lock().expect("no panic while locked") = Some(loss);
    }

    /// Whether the swap was cut.
    pub fn has_broken_a_swap(&self) -> bool {
        self.at_swap.lock().expect("no panic while locked").is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

/// Forwards bytes in both directions until one side ends or the connection is cut.
async fn carry(
    mut client: TcpStream,
    server: u16,
    mut cut: broadcast::Receiver<()>,
    at_swap: Arc<Mutex<Option<Loss>>>,
) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    // Many small messages: with Nagle's algorithm a round would take ten times as long.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut is_swap = false;
    let mut swallows = false;
    loop {
        tokio::select! {
            _ = cut.recv() => return,
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &asked[..length];
                // After a swap is rolled back, the next commit is that of a round.
                is_swap = (is_swap && !contains(bytes, b"rollback\0"))
                    || contains(bytes, b"create trigger pgrecast_guard");
                if is_swap && contains(bytes, b"commit\0") {
                    match at_swap.lock().expect("no panic while locked").take() {
                        Some(Loss::Commit) => return,
                        Some(Loss::Answer) => swallows = true,
                        None => {}
                    }
                }
                if server.write_all(bytes).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if swallows || client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
