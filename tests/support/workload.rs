//! Writes at random to a table and, in the same transactions and with the same values, to its twin.
//!
//! Each connection owns part of the keys and remembers which of them exist; besides, all update some hot
//! rows, one by one in ascending order, so that they wait for each other but never in a circle. So whatever
//! deadlock the server reports is not of the workload's making, and every statement must change as many
//! rows of the table as of its twin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::database::{TestDb, said};
use super::keys::Keys;
use super::twin::{Column, HOT_ROWS, Random, Table, Values, WORKERS};
use super::wait::wait_until;

/// Transactions a second and connection: a lively application, on a machine with two cores that runs
/// the server, pgrecast and other tests as well.
const RATE: u64 = 50;

/// After so many errors a connection gives up: more would say nothing new.
const MOST_ERRORS: usize = 20;

/// Numbers that unique values are made of: unique in this process, so also after an earlier workload.
static UNIQUE: AtomicU64 = AtomicU64::new(0);

/// What is to be run. Made by [`Workload::on`], run by [`Plan::start`].
#[derive(Debug, Clone)]
pub struct Plan {
    table: Table,
    rate: u64,
    truncates: bool,
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

    /// Begins to write. The rows that are there already, from [`Table::fill`] or an earlier workload, take
    /// part.
    pub async fn start(self, db: &TestDb<'_>) -> Workload {
        let shared = Arc::new(Shared::default());
        let mut workers = Vec::new();
        for number in 1..=WORKERS {
            let client = db.connect().await;
            client.batch_execute("set application_name = 'workload'").await.expect("a plain setting");
            let existing = client
                .simple_query(&self.table.key.literals_of(number, &self.table.twin))
                .await
                .unwrap_or_else(|error| panic!("{}", said(&error)));
            let mut worker = Worker {
                plan: self.clone(),
                client,
                shared: Arc::clone(&shared),
                number,
                random: Random::new(self.table.seed ^ (number << 32)),
                keys: Keys::default(),
                last_hot: None,
                is_snapshot_fixed: false,
                truncations_seen: 0,
                report: Report { seed: self.table.seed, ..Report::default() },
            };
            first_fields(&existing).into_iter().flatten().for_each(|key| worker.keys.add(key));
            worker.keys.forget_the_way_back();
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
struct Shared {
    stop: AtomicBool,
    /// Transactions committed, by worker.
    committed: [AtomicU64; WORKERS as usize],
    /// Held for reading by every transaction, for writing by one that truncates: it changes what other
    /// workers know about their rows. The number counts truncations.
    truncations: RwLock<u64>,
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
        self.deadlocks += other.deadlocks;
    }
}

impl Workload {
    /// A workload for a table that exists and may be filled.
    pub fn on(table: &Table) -> Plan {
        Plan { table: table.clone(), rate: RATE, truncates: false }
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

/// Why a transaction could not go on.
enum Failure {
    /// 40001 or 40P01: to be done again.
    Again(SqlState),
    /// What no application expects.
    Error(String),
    /// The connection is gone.
    Lost(String),
}

struct Worker {
    plan: Plan,
    client: Client,
    shared: Arc<Shared>,
    number: u64,
    random: Random,
    keys: Keys,
    /// The hot row that this transaction locked last.
    last_hot: Option<u64>,
    /// Is this transaction REPEATABLE READ? Then what it reads at the swap may be older by one round.
    is_snapshot_fixed: bool,
    truncations_seen: u64,
    report: Report,
}

impl Worker {
    async fn run(mut self) -> Report {
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
                    self.keys.forget_all();
                }
                self.transaction().await
            };
            if let Err(Failure::Lost(why)) = self.settle(outcome).await {
                self.report.errors.push(why);
                break;
            }
        }
        self.report
    }

    /// After a failure: rolls back, here and in what we know about the keys.
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

    /// Some actions under a savepoint, half of the time undone.
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

    async fn action(&mut self) -> Result<(), Failure> {
        match self.random.below(100) {
            0..14 => {
                let key = self.fresh_key();
                self.insert(vec![key]).await
            }
            14..18 => {
                let keys = (0..2 + self.random.below(4)).map(|_| self.fresh_key()).collect();
                self.insert(keys).await
            }
            18..25 => {
                let key = self.freed_or_fresh_key();
                self.insert(vec![key]).await
            }
            25..28 => self.upsert().await,
            28..44 => self.update_row().await,
            44..50 => self.update_to_null().await,
            50..52 => self.update_to_same().await,
            52..60 => self.update_key().await,
            60..63 => self.exchange_keys().await,
            63..69 => self.exchange_unique_values().await,
            69..74 => self.update_range().await,
            74..76 => self.update_toast().await,
            76..82 => self.delete(1).await,
            82..84 => self.delete(3).await,
            84..89 => self.delete_and_insert().await,
            89..96 => self.update_hot_rows().await,
            _ => self.read().await,
        }
    }

    async fn insert(&mut self, keys: Vec<String>) -> Result<(), Failure> {
        for key in &keys {
            self.keys.add(key.clone());
        }
        self.insert_rows(keys, "").await
    }

    /// Inserts rows with new values for every column. Where a default decides, the twin gets what the
    /// original got.
    async fn insert_rows(&mut self, keys: Vec<String>, tail: &str) -> Result<(), Failure> {
        let table = self.plan.table.clone();
        let written: Vec<Column> = table
            .columns
            .iter()
            .copied()
            .filter(|c| !c.is_fill_only && c.values != Values::Default)
            .collect();
        let default = table.columns.iter().find(|c| c.values == Values::Default).map(|c| c.name);
        let names = |extra: Option<&str>| {
            let columns = written.iter().map(|c| c.name).chain(extra);
            columns.fold(table.key.columns(), |list, name| list + ", " + name)
        };
        let mut rows: Vec<String> = Vec::new();
        for key in keys {
            let values = written.iter().map(|column| self.value(column, true)).collect::<Vec<_>>();
            rows.push([&[key], values.as_slice()].concat().join(", "));
        }
        let values = |rows: &[String]| format!("({})", rows.join("), ("));
        let Some(default) = default else {
            return self
                .both(|name| format!("insert into {name} ({}) values {}{tail}", names(None), values(&rows)))
                .await
                .map(drop);
        };
        let statement = format!(
            "insert into {} ({}) values {}{tail} returning {default}",
            table.original,
            names(None),
            values(&rows)
        );
        let given = self.on_original(&statement).await?;
        let rows: Vec<String> = rows
            .iter()
            .zip(first_fields(&given))
            .map(|(row, given)| format!("{row}, {}", given.as_deref().unwrap_or("null")))
            .collect();
        self.plainly(&format!(
            "insert into {} ({}) values {}{tail}",
            table.twin,
            names(Some(default)),
            values(&rows)
        ))
        .await
    }

    async fn upsert(&mut self) -> Result<(), Failure> {
        let key = if self.random.one_in(2) { self.keys.any(&mut self.random) } else { None };
        let key = key.unwrap_or_else(|| self.fresh_key());
        self.keys.add(key.clone());
        let sets: Vec<String> =
            self.plain_columns().iter().map(|c| format!("{0} = excluded.{0}", c.name)).collect();
        let what =
            if sets.is_empty() { "nothing".to_owned() } else { format!("update set {}", sets.join(", ")) };
        let tail = format!(" on conflict ({}) do {what}", self.plan.table.key.columns());
        self.insert_rows(vec![key], &tail).await
    }

    async fn update_row(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let sets = self.some_assignments();
        self.update(&sets, &self.is_key(&key)).await
    }

    async fn update_to_null(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let nullable = self.plain_columns().into_iter().filter(|c| c.is_nullable);
        let sets = nullable.map(|c| format!("{} = null", c.name)).collect::<Vec<_>>().join(", ");
        self.update(&sets, &self.is_key(&key)).await
    }

    /// An update that changes nothing must do no harm either.
    async fn update_to_same(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let columns = self.plain_columns();
        let sets = columns.iter().map(|c| format!("{0} = {0}", c.name)).collect::<Vec<_>>().join(", ");
        self.update(&sets, &self.is_key(&key)).await
    }

    async fn update_range(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let sets = self.some_assignments();
        self.update(&sets, &self.plan.table.key.range_from(&key)).await
    }

    async fn update_toast(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let columns = self.plan.table.columns.clone();
        let mut sets = Vec::new();
        for column in columns.iter().filter(|c| c.values == Values::Toast && !c.is_fill_only) {
            sets.push(format!("{} = {}", column.name, column.literal(&mut self.random, 0, 0)));
        }
        self.update(&sets.join(", "), &self.is_key(&key)).await
    }

    /// Rows that every worker updates: each in ascending order, so that they do not deadlock.
    async fn update_hot_rows(&mut self) -> Result<(), Failure> {
        for _ in 0..=self.random.below(3) {
            let first = self.last_hot.map_or(0, |last| last + 1);
            if first >= HOT_ROWS {
                break;
            }
            let hot = first + self.random.below(HOT_ROWS - first);
            self.last_hot = Some(hot);
            let sets = self.some_assignments();
            let condition = self.is_key(&self.plan.table.key.literal(0, hot));
            self.update(&sets, &condition).await?;
        }
        Ok(())
    }

    /// Changes the key of a row to one that was never used, or to one that was used before.
    async fn update_key(&mut self) -> Result<(), Failure> {
        let Some(old) = self.keys.any(&mut self.random) else { return Ok(()) };
        let new = self.freed_or_fresh_key();
        self.keys.remove(&old);
        self.keys.add(new.clone());
        self.move_key(&old, &new).await
    }

    /// Exchanges the keys of two rows through a temporary one.
    async fn exchange_keys(&mut self) -> Result<(), Failure> {
        let Some((a, b)) = self.keys.any_two(&mut self.random) else { return Ok(()) };
        let temporary = self.fresh_key();
        self.move_key(&a, &temporary).await?;
        self.move_key(&b, &a).await?;
        self.move_key(&temporary, &b).await
    }

    async fn move_key(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        let sets = format!("({}) = row ({to})", self.plan.table.key.columns());
        self.update(&sets, &self.is_key(from)).await
    }

    /// Exchanges the values that two rows have in each unique column.
    async fn exchange_unique_values(&mut self) -> Result<(), Failure> {
        let Some((a, b)) = self.keys.any_two(&mut self.random) else { return Ok(()) };
        let (is_a, is_b) = (self.is_key(&a), self.is_key(&b));
        for column in self.plan.table.columns.clone() {
            let is_deferrable = column.values == Values::DeferrableUniqueInt;
            if column.is_fill_only || !(is_deferrable || column.values == Values::UniqueText) {
                continue;
            }
            let name = column.name;
            if is_deferrable {
                self.plainly("set constraints all deferred").await?;
            }
            let (value_a, value_b) =
                (self.value_in_twin(name, &is_a).await?, self.value_in_twin(name, &is_b).await?);
            let (Some(value_a), Some(value_b)) = (value_a, value_b) else { continue };
            if !is_deferrable {
                self.update(&format!("{name} = 'temporary {}'", self.number), &is_a).await?;
            }
            self.update(&format!("{name} = {value_a}"), &is_b).await?;
            self.update(&format!("{name} = {value_b}"), &is_a).await?;
        }
        Ok(())
    }

    async fn delete(&mut self, rows: usize) -> Result<(), Failure> {
        let mut keys = Vec::new();
        for _ in 0..rows {
            if let Some(key) = self.keys.any(&mut self.random) {
                self.keys.remove(&key);
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        let columns = self.plan.table.key.columns();
        let list = keys.join("), (");
        self.both(|table| format!("delete from {table} where ({columns}) in (({list}))")).await.map(drop)
    }

    async fn delete_and_insert(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let condition = self.is_key(&key);
        self.both(|table| format!("delete from {table} where {condition}")).await?;
        self.insert_rows(vec![key], "").await
    }

    /// A row that exists must be seen.
    async fn read(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let statement =
            format!("select count(*) from {} where {}", self.plan.table.original, self.is_key(&key));
        let seen = self.on_original(&statement).await?;
        if first_fields(&seen) == [Some("1".to_owned())] || self.is_snapshot_fixed {
            return Ok(());
        }
        Err(Failure::Error(format!("a row that was committed is not seen: {statement}")))
    }

    /// A value that a row has in the twin, as SQL.
    async fn value_in_twin(&self, column: &str, condition: &str) -> Result<Option<String>, Failure> {
        let query =
            format!("select quote_nullable({column}) from {} where {condition}", self.plan.table.twin);
        let messages = self.client.simple_query(&query).await.map_err(|e| failure(&e, &query))?;
        Ok(first_fields(&messages).into_iter().flatten().next())
    }

    async fn update(&mut self, sets: &str, condition: &str) -> Result<(), Failure> {
        if sets.is_empty() {
            return Ok(());
        }
        self.both(|table| format!("update {table} set {sets} where {condition}")).await.map(drop)
    }

    /// A statement on the original and on the twin. It must do the same to as many rows.
    async fn both(&mut self, statement: impl Fn(&str) -> String) -> Result<u64, Failure> {
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
    async fn on_original(&mut self, statement: &str) -> Result<Vec<SimpleQueryMessage>, Failure> {
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

    async fn plainly(&self, statement: &str) -> Result<(), Failure> {
        self.client.batch_execute(statement).await.map_err(|error| failure(&error, statement))
    }

    fn is_key(&self, key: &str) -> String {
        format!("({}) = ({key})", self.plan.table.key.columns())
    }

    fn fresh_key(&mut self) -> String {
        loop {
            let key = self.plan.table.key.literal(self.number, self.keys.next_number());
            if !self.keys.has(&key) {
                return key;
            }
        }
    }

    fn freed_or_fresh_key(&mut self) -> String {
        self.keys.take_freed().unwrap_or_else(|| self.fresh_key())
    }

    /// Columns that take any value: not unique, not huge, not made by a default.
    fn plain_columns(&self) -> Vec<Column> {
        let is_plain = |c: &&Column| {
            let is_special = matches!(
                c.values,
                Values::UniqueText | Values::DeferrableUniqueInt | Values::Default | Values::Toast
            );
            !c.is_fill_only && !is_special
        };
        self.plan.table.columns.iter().filter(is_plain).copied().collect()
    }

    /// New values for some of the plain columns.
    fn some_assignments(&mut self) -> String {
        let mut columns = self.plain_columns();
        while columns.len() > 1 && !self.random.one_in(3) {
            columns.remove(self.random.below(columns.len() as u64) as usize);
        }
        let mut sets = Vec::new();
        for column in columns {
            let value = if column.values == Values::Counter && !self.random.one_in(8) {
                format!("{} + 1", column.name)
            } else {
                self.value(&column, false)
            };
            sets.push(format!("{} = {value}", column.name));
        }
        sets.join(", ")
    }

    fn value(&mut self, column: &Column, is_insert: bool) -> String {
        if is_insert && column.values == Values::Toast && column.is_nullable && !self.random.one_in(20) {
            return "null".to_owned();
        }
        let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
        column.literal(&mut self.random, self.number, unique)
    }
}

fn failure(error: &tokio_postgres::Error, statement: &str) -> Failure {
    match error.code() {
        Some(code @ (&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED)) => {
            Failure::Again(code.clone())
        }
        Some(_) if !error.is_closed() => {
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

fn first_fields(messages: &[SimpleQueryMessage]) -> Vec<Option<String>> {
    let field = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    };
    messages.iter().filter_map(field).collect()
}

fn short(statement: &str) -> String {
    statement.chars().take(300).collect()
}
