//! Limits how long locks are held: the server cancels what takes longer, even if this process hangs.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::LockPolicy;
use crate::error::{Error, Kind, Result};
use crate::name::{Literal, sql};

/// What is left for the commit.
const COMMIT: Duration = Duration::from_millis(10);

/// Since when the locks are held, and how long they may be held.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    since: Instant,
    most: Duration,
}

impl Hold {
    /// Starts now.
    #[must_use]
    pub fn begin(policy: LockPolicy) -> Self {
        Hold { since: Instant::now(), most: policy.max_lock_time }
    }

    /// How long they have been held.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.since.elapsed()
    }

    /// Whether less than a millisecond is left: the server counts whole milliseconds, and 0 would mean no limit.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.elapsed() + Duration::from_millis(1) > self.most
    }

    /// Whether there is no time left for the commit, which waits for the disk and is not limited by the server.
    #[must_use]
    pub fn is_too_late_to_commit(self) -> bool {
        self.elapsed() + COMMIT > self.most.max(2 * COMMIT)
    }

    /// Statements in one message that together take no longer than what is left: the server applies
    /// `statement_timeout` to each of them separately, so it is set anew before each.
    /// <https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT>
    #[must_use]
    pub fn limited(self, statements: &[String]) -> String {
        let left = self.most.saturating_sub(self.elapsed()).as_millis().max(1);
        let deadline = sql!("lock/set_deadline.sql").fill("left", &Literal(&format!("{left} ms"))).text();
        let limit = sql!("lock/limit_statement.sql").text();
        let mut text = deadline;
        for statement in statements {
            text.push_str(&format!(";\n{limit};\n{statement}"));
        }
        text
    }

    /// Limits the next statement to the remaining time. The server enforces this even if this process hangs.
    ///
    /// # Errors
    /// [`Kind::Transient`] if no time is left.
    pub async fn limit(self, client: &Client) -> Result<()> {
        if self.is_over() {
            return Err(self.exceeded());
        }
        let left = self.most.saturating_sub(self.elapsed()).as_millis().max(1);
        Ok(client.batch_execute(&format!("set local statement_timeout = '{left}ms'")).await?)
    }

    /// The error for a timeout.
    #[must_use]
    pub fn exceeded(self) -> Error {
        Error::new(
            Kind::Transient,
            format!("the work under the locks took longer than {} ms", self.most.as_millis()),
        )
        .hint("Choose a quieter time, or a longer --max-lock-time.")
    }

    /// The actual error, if the server enforced the limit.
    #[must_use]
    pub fn reason(self, error: Error) -> Error {
        let is_cut_off = error.is_sqlstate(&SqlState::QUERY_CANCELED)
            || error.is_sqlstate(&SqlState::IN_FAILED_SQL_TRANSACTION);
        if is_cut_off && self.is_over() { self.exceeded() } else { error }
    }
}
