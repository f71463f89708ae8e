//! Writes at random to a table and, in the same transactions and with the same values, to its twin: the plan,
//! and what was done. Each connection is a `worker`.
//!
//! Each connection owns part of the keys and remembers which of them exist; besides, all update some hot
//! rows, one by one in ascending order, so that they wait for each other but never in a circle. So whatever
//! deadlock the server reports is not of the workload's making, and every statement must change as many
//! rows of the table as of its twin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::RwLock;
use tokio::task::JoinHandle;

use super::database::TestDb;
use super::twin::{Table, WORKERS};
use super::wait::wait_until;
use super::worker::Worker;

/// Transactions a second and connection: a lively application, on a machine with two cores that runs
/// the server, pgrecast and other tests as well.
const RATE: u64 = 25;

/// What is to be run. Made by [`Workload::on`], run by [`Plan::start`].
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) table: Table,
    pub(super) rate: u64,
    pub(super) truncates: bool,
    pub(super) outlives_the_server: bool,
}

impl Plan {
    /// Transactions a second of each connection.
    pub fn rate(self, rate: u64) -> Plan {
        Plan { rate, ..self }
    }

    /// Now and then empties both tables with `truncate`.
    pub fn with_truncate(self) -> Plan {
        Plan { truncates: true, ..self }
    }

    /// Connects again when the connection is lost, as after a crash of the server. Whether the last commit
    /// happened is not guessed: the keys are read again, and the twin was written to by the same transaction.
    pub fn outliving_the_server(self) -> Plan {
        Plan { outlives_the_server: true, ..self }
    }

    /// Begins to write. The rows that are there already, from [`Table::fill`] or an earlier workload, take
    /// part.
    pub async fn start(self, db: &TestDb<'_>) -> Workload {
        let shared = Arc::new(Shared::default());
        let mut workers = Vec::new();
        for number in 1..=WORKERS {
            let worker = Worker::connect(db, self.clone(), Arc::clone(&shared), number).await;
            workers.push(tokio::spawn(worker.run()));
        }
        Workload { shared, workers }
    }
}

/// A workload that runs.
#[derive(Debug)]
pub struct Workload {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Report>>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    /// Transactions committed, by worker.
    pub(super) committed: [AtomicU64; WORKERS as usize],
    /// Held for reading by every transaction, for writing by one that truncates: it changes what other
    /// workers know about their rows. The number counts truncations.
    pub(super) truncations: RwLock<u64>,
}

/// What a workload did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Set `PGRECAST_TEST_SEED` to it to repeat the workload's choices.
    pub seed: u64,
    /// Committed.
    pub transactions: u64,
    /// On the original table.
    pub statements: u64,
    /// Anything the application would not expect.
    pub errors: Vec<String>,
    /// The longest single statement on the original table, as the client saw it.
    pub longest: Duration,
    /// What that statement was.
    pub longest_statement: String,
    /// Transactions ended by a serialization failure (40001).
    pub serialization_failures: u64,
    /// Connections lost and made again.
    pub reconnections: u64,
    /// Transactions ended by a deadlock (40P01). The workload makes none by itself.
    pub deadlocks: u64,
}

impl Report {
    /// Transactions that the application has to do again.
    pub fn retries(&self) -> u64 {
        self.serialization_failures + self.deadlocks
    }

    /// Panics with the errors, unless there was none and something was done.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(
            self.errors.is_empty() && self.deadlocks == 0 && self.transactions > 0,
            "PGRECAST_TEST_SEED={}: the application met {} errors and {} deadlocks in {} transactions:\n{}",
            self.seed,
            self.errors.len(),
            self.deadlocks,
            self.transactions,
            self.errors.join("\n")
        );
    }

    fn add(&mut self, other: Report) {
        self.seed = other.seed;
        self.transactions += other.transactions;
        self.statements += other.statements;
        self.errors.extend(other.errors);
        if other.longest > self.longest {
            self.longest = other.longest;
            self.longest_statement = other.longest_statement;
        }
        self.serialization_failures += other.serialization_failures;
        self.reconnections += other.reconnections;
        self.deadlocks += other.deadlocks;
    }
}

impl Workload {
    /// A workload for a table that exists and may be filled.
    pub fn on(table: &Table) -> Plan {
        Plan { table: table.clone(), rate: RATE, truncates: false, outlives_the_server: false }
    }

    /// Waits until every connection has committed so many more transactions, or has given up because of
    /// errors.
    pub async fn commits(&self, more: u64) {
        let counts = || self.shared.committed.each_ref().map(|count| count.load(Ordering::Relaxed));
        let before = counts();
        wait_until(&format!("every connection has committed {more} more transactions"), async || {
            let now = counts();
            (0..before.len()).all(|n| now[n] >= before[n] + more || self.workers[n].is_finished())
        })
        .await;
    }

    /// Lets every connection end its transaction, and says what was done.
    pub async fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        for worker in self.workers {
            report.add(worker.await.expect("a worker does not panic"));
        }
        report
    }
}
