//! One connection of a workload: its sequence of transactions, and its keys. The statements are in `writes`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::database::{SUPERUSER, TestDb, said};
use super::keys::Keys;
use super::twin::{HOT_ROWS, Random};
use super::wait::{DEADLINE, between_two_looks};
use super::workload::{Plan, Report, Shared};

/// After this number of errors a connection gives up: more would not help.
const MOST_ERRORS: usize = 20;

/// Why a transaction failed.
pub(super) enum Failure {
    /// 40001 or 40P01: to be retried.
    Again(SqlState),
    /// An error that no application expects.
    Error(String),
    /// The connection is lost.
    Lost(String),
}

pub(super) struct Worker {
    pub(super) plan: Plan,
    pub(super) client: Client,
    config: Config,
    shared: Arc<Shared>,
    pub(super) number: u64,
    pub(super) random: Random,
    pub(super) keys: Keys,
    /// The hot row that this transaction locked last.
    pub(super) last_hot: Option<u64>,
    /// Whether this transaction is REPEATABLE READ. Then its data at the swap may be older by one round.
    pub(super) is_snapshot_fixed: bool,
    truncations_seen: u64,
    report: Report,
}

impl Worker {
    /// Connects, and reads its existing keys.
    pub async fn connect(db: &TestDb<'_>, plan: Plan, shared: Arc<Shared>, number: u64) -> Worker {
        let mut config = db.cluster().config(db.name(), SUPERUSER);
        config.application_name("workload");
        let client = connect(&config).await.unwrap_or_else(|error| panic!("{}", said(&error)));
        let mut worker = Worker {
            client,
            config,
            shared,
            number,
            random: Random::new(plan.table.seed ^ (number << 32)),
            keys: Keys::default(),
            last_hot: None,
            is_snapshot_fixed: false,
            truncations_seen: 0,
            report: Report { seed: plan.table.seed, ..Report::default() },
            plan,
        };
        worker.learn_keys().await.unwrap_or_else(|error| panic!("{}", said(&error)));
        worker
    }

    async fn learn_keys(&mut self) -> Result<(), tokio_postgres::Error> {
        let table = &self.plan.table;
        let existing = self.client.simple_query(&table.key.literals_of(self.number, &table.twin)).await?;
        self.keys = Keys::default();
        first_fields(&existing).into_iter().flatten().for_each(|key| self.keys.add(key));
        self.keys.forget_the_way_back();
        Ok(())
    }

    /// Works until it is stopped.
    pub async fn run(mut self) -> Report {
        let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / self.plan.rate.max(1)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.shared.stop.load(Ordering::Relaxed) && self.report.errors.len() < MOST_ERRORS {
            tick.tick().await;
            let shared = Arc::clone(&self.shared);
            let outcome = if self.plan.truncates && self.number == 1 && self.random.one_in(200) {
                let mut truncations = shared.truncations.write().await;
                *truncations += 1;
                self.truncation().await
            } else {
                let truncations = shared.truncations.read().await;
                if *truncations > self.truncations_seen {
                    self.truncations_seen = *truncations;
                    // It does not guess whether the transaction was committed.
                    match self.learn_keys().await {
                        Ok(()) => self.transaction().await,
                        Err(error) => Err(failure(&error, "reading the keys")),
                    }
                } else {
                    self.transaction().await
                }
            };
            if let Err(Failure::Lost(why)) = self.settle(outcome).await {
                if self.plan.outlives_the_server {
                    self.connect_again().await;
                } else {
                    self.report.errors.push(why);
                    break;
                }
            }
        }
        self.report
    }

    /// Waits for the server, and determines whether the last transaction was committed.
    async fn connect_again(&mut self) {
        self.report.reconnections += 1;
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if let Ok(client) = connect(&self.config).await {
                self.client = client;
                if self.learn_keys().await.is_ok() {
                    return;
                }
            }
            between_two_looks().await;
        }
        self.report.errors.push("the server does not come back".to_owned());
    }

    /// After a failure: rolls back the transaction and the keys.
    async fn settle(&mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        match outcome {
            Ok(()) => return Ok(()),
            Err(Failure::Lost(why)) => return Err(Failure::Lost(why)),
            Err(Failure::Error(why)) => self.report.errors.push(why),
            Err(Failure::Again(SqlState::T_R_DEADLOCK_DETECTED)) => self.report.deadlocks += 1,
            Err(Failure::Again(_)) => self.report.serialization_failures += 1,
        }
        self.keys.go_back_to(0);
        self.plainly("rollback").await
    }

    async fn transaction(&mut self) -> Result<(), Failure> {
        self.last_hot = None;
        self.keys.forget_the_way_back();
        self.is_snapshot_fixed = self.random.one_in(4);
        let begin = if self.is_snapshot_fixed { "begin isolation level repeatable read" } else { "begin" };
        self.plainly(begin).await?;
        if self.is_snapshot_fixed && self.random.one_in(2) {
            // Takes the snapshot, and no lock on the original: the swap may come in between.
            self.plainly(&format!("select 1 from {} limit 1", self.plan.table.twin)).await?;
        }
        for _ in 0..=self.random.below(4) {
            if self.random.one_in(6) {
                self.savepoint().await?;
            } else {
                self.action().await?;
            }
        }
        if self.random.one_in(10) {
            self.keys.go_back_to(0);
            return self.plainly("rollback").await;
        }
        self.plainly("commit").await?;
        self.committed();
        Ok(())
    }

    async fn truncation(&mut self) -> Result<(), Failure> {
        self.keys.forget_the_way_back();
        self.plainly("begin").await?;
        self.both(|table| format!("truncate {table}")).await?;
        let hot = (0..HOT_ROWS).map(|number| self.plan.table.key.literal(0, number)).collect();
        self.insert_rows(hot, "").await?;
        self.plainly("commit").await?;
        self.committed();
        Ok(())
    }

    fn committed(&mut self) {
        self.report.transactions += 1;
        self.shared.committed[self.number as usize - 1].fetch_add(1, Ordering::Relaxed);
    }

    /// Some actions under a savepoint, half of the time rolled back.
    async fn savepoint(&mut self) -> Result<(), Failure> {
        self.plainly("savepoint s").await?;
        let mark = self.keys.mark();
        for _ in 0..=self.random.below(2) {
            self.action().await?;
        }
        if self.random.one_in(2) {
            self.keys.go_back_to(mark);
            self.plainly("rollback to s").await
        } else {
            self.plainly("release s").await
        }
    }

    /// Runs a statement on the original and on the twin. It must affect the same number of rows.
    pub(super) async fn both(&mut self, statement: impl Fn(&str) -> String) -> Result<u64, Failure> {
        let on_original = statement(&self.plan.table.original);
        let on_twin = statement(&self.plan.table.twin);
        let rows = affected(&self.on_original(&on_original).await?);
        let messages = self.client.simple_query(&on_twin).await.map_err(|e| failure(&e, &on_twin))?;
        let twin_rows = affected(&messages);
        if rows == twin_rows {
            return Ok(rows);
        }
        Err(Failure::Error(format!(
            "{rows} rows instead of {twin_rows} were changed by: {}",
            short(&on_original)
        )))
    }

    /// A statement on the original, timed.
    pub(super) async fn on_original(&mut self, statement: &str) -> Result<Vec<SimpleQueryMessage>, Failure> {
        let start = Instant::now();
        let outcome = self.client.simple_query(statement).await;
        let took = start.elapsed();
        self.report.statements += 1;
        if took > self.report.longest {
            self.report.longest = took;
            self.report.longest_statement = short(statement);
        }
        outcome.map_err(|error| failure(&error, statement))
    }

    pub(super) async fn plainly(&self, statement: &str) -> Result<(), Failure> {
        self.client.batch_execute(statement).await.map_err(|error| failure(&error, statement))
    }
}

async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub(super) fn failure(error: &tokio_postgres::Error, statement: &str) -> Failure {
    match error.code() {
        Some(code @ (&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED)) => {
            Failure::Again(code.clone())
        }
        // Class 57P: the server terminates the session, or accepts none.
        Some(code) if !error.is_closed() && !code.code().starts_with("57P") => {
            Failure::Error(format!("{}\n  in: {}", said(error), short(statement)))
        }
        _ => Failure::Lost(format!("connection lost: {}\n  in: {}", said(error), short(statement))),
    }
}

fn affected(messages: &[SimpleQueryMessage]) -> u64 {
    messages
        .iter()
        .map(|message| if let SimpleQueryMessage::CommandComplete(rows) = message { *rows } else { 0 })
        .sum()
}

pub(super) fn first_fields(messages: &[SimpleQueryMessage]) -> Vec<Option<String>> {
    let field = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    };
    messages.iter().filter_map(field).collect()
}

fn short(statement: &str) -> String {
    statement.chars().take(300).collect()
}
