//! Whether a connection is a session with one server process. A pooler in transaction mode lends a process to each
//! transaction: settings, locks and temporary objects of a session would get lost there, and stay with others.
//!
//! Only `pg_backend_pid()` is read, by the simple protocol: nothing is left in a process that is somebody else's next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::{Client, SimpleQueryMessage};

/// How often it is tried: between two statements another client may take the process that was just given back.
const ROUNDS: usize = 3;

const READ_PID: &str = "select pg_catalog.pg_backend_pid()";

/// Two processes that served one session, or one that served two sessions at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pooled {
    /// Who served it first.
    pub(super) first: i32,
    /// Who served it then, or the session beside it.
    pub(super) then: i32,
}

/// Looks whether `client` keeps its process from one statement to the next, and while another connection to the same
/// place has a transaction open. A pool that takes the process given back last gives that one the process of the first;
/// one that takes them in turn gives the first another one each time.
pub(super) async fn find(client: &Client, other: &Client) -> Result<Option<Pooled>, tokio_postgres::Error> {
    for _ in 0..ROUNDS {
        let first = read_pid(client, READ_PID).await?;
        let second = read_pid(client, READ_PID).await?;
        let beside = read_pid(other, &format!("begin; {READ_PID}")).await?;
        let mut found = judge([first, second, second], beside);
        if found.is_none() {
            // Not before: a pool of one process would keep us waiting for the one that is in the transaction.
            found = judge([first, second, read_pid(client, READ_PID).await?], beside);
        }
        other.simple_query("rollback").await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// One session has one process, and no two have the same at a time.
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

/// The processes of the sessions that are open to one place, and whether it was looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Live(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    is_direct: bool,
    processes: HashMap<i32, usize>,
}

impl Live {
    /// Whether a new session of this process has to be looked at: the first, and one whose process another one has.
    pub(super) fn is_doubtful(&self, pid: i32) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !known.is_direct || known.processes.contains_key(&pid)
    }

    /// Notes that sessions keep their processes here.
    pub(super) fn is_direct(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_direct = true;
    }

    /// Notes an open session.
    pub(super) fn add(&self, pid: i32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).processes.entry(pid).or_default() += 1;
    }

    /// Notes the end of one.
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
