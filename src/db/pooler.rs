//! Detects connection poolers in transaction mode. Such a pooler assigns a server process to each transaction: a
//! session would lose its settings, locks and temporary objects, and they would affect other clients.
//!
//! Only reads `pg_backend_pid()`, with the simple protocol: nothing is left in a process that another client uses next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::{Client, SimpleQueryMessage};

/// The number of attempts. One may miss a pooler, because other clients use its processes too.
const ROUNDS: usize = 3;

const READ_PID: &str = "select pg_catalog.pg_backend_pid()";

/// Two processes that served one session, or one process that served two sessions at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pooled {
    /// The process that served the session first.
    pub(super) first: i32,
    /// The process that served it later, or that served the other session.
    pub(super) then: i32,
}

/// Checks whether `client` keeps its process between statements, and while another connection to the same address has
/// an open transaction. A pooler that reuses the process released last gives that connection the process of `client`. A
/// pooler that uses its processes in turn gives `client` a different one each time.
pub(super) async fn find(client: &Client, other: &Client) -> Result<Option<Pooled>, tokio_postgres::Error> {
    for _ in 0..ROUNDS {
        let first = read_pid(client, READ_PID).await?;
        let second = read_pid(client, READ_PID).await?;
        let beside = read_pid(other, &format!("begin; {READ_PID}")).await?;
        let mut found = judge([first, second, second], beside);
        if found.is_none() {
            // Not earlier: a pool of one process would wait for the end of the open transaction.
            found = judge([first, second, read_pid(client, READ_PID).await?], beside);
        }
        other.simple_query("rollback").await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Without a pooler a session keeps its process, and no two sessions share one at the same time.
fn judge(session: [i32; 3], beside: i32) -> Option<Pooled> {
    let [first, ..] = session;
    let other = session.into_iter().find(|pid| *pid != first);
    let then = other.or_else(|| (first == beside).then_some(beside))?;
    Some(Pooled { first, then })
}

async fn read_pid(client: &Client, statement: &str) -> Result<i32, tokio_postgres::Error> {
    let messages = client.simple_query(statement).await?;
    let value = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    Ok(value.unwrap_or_default())
}

/// The processes of the open sessions to one address, and whether it was checked for a pooler.
#[derive(Debug, Clone, Default)]
pub(super) struct Live(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    is_direct: bool,
    processes: HashMap<i32, usize>,
}

impl Live {
    /// Whether a new session must be checked: it is the first one, or another open session has the same process.
    pub(super) fn is_doubtful(&self, pid: i32) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !known.is_direct || known.processes.contains_key(&pid)
    }

    /// Records that sessions keep their processes at this address.
    pub(super) fn is_direct(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_direct = true;
    }

    /// Records an open session.
    pub(super) fn add(&self, pid: i32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).processes.entry(pid).or_default() += 1;
    }

    /// Records the end of a session.
    pub(super) fn remove(&self, pid: i32) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = known.processes.get_mut(&pid) {
            *count -= 1;
            if *count == 0 {
                known.processes.remove(&pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_process_and_shares_it_with_none() {
        assert_eq!(judge([1, 1, 1], 2), None);
        assert_eq!(judge([1, 1, 1], 1), Some(Pooled { first: 1, then: 1 }));
        assert_eq!(judge([1, 1, 3], 2), Some(Pooled { first: 1, then: 3 }));
        assert_eq!(judge([1, 2, 1], 3), Some(Pooled { first: 1, then: 2 }));
    }

    #[test]
    fn the_first_session_is_looked_at_and_one_whose_process_is_taken() {
        let live = Live::default();
        assert!(live.is_doubtful(1));
        live.is_direct();
        live.add(1);
        live.add(1);
        assert!(live.is_doubtful(1) && !live.is_doubtful(2));
        live.remove(1);
        assert!(live.is_doubtful(1));
        live.remove(1);
        assert!(!live.is_doubtful(1));
    }
}
