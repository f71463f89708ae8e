//! Random writes to a table and, in the same transactions and with the same values, to its twin: the plan, and the
//! report. Each connection is a `worker`.
//!
//! Each connection owns a part of the keys and remembers which of them exist. All connections also update some hot
//! rows, one by one in ascending order, so that they wait for each other but never deadlock. So the workload itself
//! never causes a deadlock, and every statement must change the same number of rows in the table and its twin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::RwLock;
use tokio::task::JoinHandle;

use super::database::TestDb;
use super::twin::{Table, WORKERS};
use super::wait::wait_until;
use super::worker::Worker;

/// Transactions per second and connection: a busy application, on a machine with two cores that also runs the server,
/// pgrecast and other tests.
const RATE: u64 = 25;

/// The plan of a workload. [`Workload::on`] creates it, [`Plan::start`] runs it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) table: Table,
    pub(super) rate: u64,
    pub(super) truncates: bool,
    pub(super) outlives_the_server: bool,
}

impl Plan {
    /// Transactions per second of each connection.
    pub fn rate(self, rate: u64) -> Plan {
        Plan { rate, ..self }
    }

    /// Sometimes truncates both tables.
    pub fn with_truncate(self) -> Plan {
        Plan { truncates: true, ..self }
    }

    /// Connects again if the connection is lost, as after a crash of the server. It does not guess whether the last
    /// commit happened: it reads the keys again, and the twin was written by the same transaction.
    pub fn outliving_the_server(self) -> Plan {
        Plan { outlives_the_server: true, ..self }
    }

    /// Begins to write, also to existing rows from [`Table::fill`] or an earlier workload.
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

/// A running workload.
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
    /// Every transaction holds it for reading; one that truncates holds it for writing, because it changes the rows of
    /// other workers. The number counts truncations.
    pub(super) truncations: RwLock<u64>,
}

/// The report of a workload.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Set `PGRECAST_TEST_SEED` to it to repeat the workload's choices.
    pub seed: u64,
    /// Committed.
    pub transactions: u64,
    /// On the original table.
    pub statements: u64,
    /// Errors that an application would not expect.
    pub errors: Vec<String>,
    /// The duration of the longest statement on the original table, measured by the client.
    pub longest: Duration,
    /// That statement.
    pub longest_statement: String,
    /// Transactions ended by a serialization failure (40001).
    pub serialization_failures: u64,
    /// Connections lost and opened again.
    pub reconnections: u64,
    /// Transactions ended by a deadlock (40P01). The workload itself causes none.
    pub deadlocks: u64,
}

impl Report {
    /// Transactions that the application must retry.
    pub fn retries(&self) -> u64 {
        self.serialization_failures + self.deadlocks
    }

    /// Panics if there were errors, or nothing was done.
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

    /// Waits until every connection has committed this number of additional transactions, or has given up because of
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

    /// Lets every connection end its transaction, and returns the report.
    pub async fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        for worker in self.workers {
            report.add(worker.await.expect("a worker does not panic"));
        }
        report
    }
}
