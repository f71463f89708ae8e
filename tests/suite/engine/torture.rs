//! The model test: random tables under random writes, random changes that are ended at random moments in every way,
//! aborted, rolled back and repeated. PostgreSQL itself gives the expected result.
//!
//! `scripts/torture.sh [minutes]` runs it. Each table is derived from its own seed, which is printed first:
//! `PGRECAST_TEST_SEED` starts with that one. Concurrent timing is not repeated exactly.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::support::ending::{Ending, Executioner};
use crate::support::model::{Change, Model};
use crate::support::twin::Random;
use crate::support::*;
use pgrecast::failpoint::Failpoint;

/// The maximum delay before a command is ended at a random moment, in milliseconds: some commands finish earlier.
const LONGEST: u64 = 1000;

/// Objects that read the table: a view that keeps its columns, one that must be created again, and objects that depend
/// on them.
const VIEWS: &str = "
    create view counted as select count(*) as n from {table};
    create view whole with (security_barrier) as select t as whole from {table} t;
    create view over as select n, whole from counted, whole;
    create materialized view counted_once as select count(*) as n from {table};
    create unique index on counted_once (n)";

/// The moments that a command may reach.
fn points_of(command: &str) -> &'static [Failpoint] {
    let at = |point: Failpoint| Failpoint::ALL.iter().position(|other| *other == point).unwrap();
    match command {
        "run" => &Failpoint::ALL[..at(Failpoint::TriggersOff)],
        "rollback" => &Failpoint::ALL[at(Failpoint::VerificationWritten)..at(Failpoint::TriggersOff)],
        _ => &Failpoint::ALL[at(Failpoint::TriggersOff)..],
    }
}

/// The totals.
#[derive(Debug, Default)]
struct Summary {
    tables: u64,
    ends: BTreeMap<&'static str, u64>,
    kills: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    transactions: u64,
    statements: u64,
    reconnections: u64,
    serialization_failures: u64,
    comparisons: u64,
    rows_compared: i64,
    catalogs: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let migrations: u64 = self.ends.values().sum();
        writeln!(f, "{} tables, {migrations} migrations: {:?}", self.tables, self.ends)?;
        writeln!(f, "{} kills: {:?}", self.kills.values().sum::<u64>(), self.kills)?;
        writeln!(
            f,
            "{} transactions with {} statements; {} connections lost with the server, {} to be done again",
            self.transactions, self.statements, self.reconnections, self.serialization_failures
        )?;
        writeln!(
            f,
            "{} comparisons of {} rows, {} of the catalog, all equal",
            self.comparisons, self.rows_compared, self.catalogs
        )?;
        write!(f, "refused: {:?}", self.refused)
    }
}

/// The history of one table.
struct Story<'s, 'd, 'c> {
    executioner: Executioner<'d, 'c>,
    random: Random,
    summary: &'s mut Summary,
    seed: u64,
}

impl Story<'_, '_, '_> {
    /// Runs a command until it completes; it is ended several times.
    async fn finish(&mut self, arguments: &[&str]) -> Output {
        for _ in 0..self.random.below(5) {
            if let Some(output) = self.ended(arguments).await
                && output.code == 0
            {
                return output;
            }
            if self.is_over(arguments[0]).await {
                break;
            }
        }
        let output = self.executioner.db.pgrecast(arguments).await;
        let done = output.code == 0 || (output.code == 2 && self.is_over(arguments[0]).await);
        assert!(done || output.code == 3, "PGRECAST_TEST_SEED={}: {}", self.seed, output.whole());
        output
    }

    /// Ends a command at a named moment, or at a random time. `None`: it never reached that moment.
    async fn ended(&mut self, arguments: &[&str]) -> Option<Output> {
        let ending = Ending::ALL[self.random.below(4) as usize];
        let output = if self.random.one_in(2) {
            let points = points_of(arguments[0]);
            let point = points[self.random.below(points.len() as u64) as usize];
            let pass = 1 + u64::from(self.random.one_in(4));
            self.executioner.end_at(arguments, point, pass, ending).await
        } else {
            let (time, pick) = (self.random.below(LONGEST), self.random.next());
            Some(self.executioner.end_after(arguments, Duration::from_millis(time), ending, pick).await)
        };
        if output.as_ref().is_some_and(|output| output.code != 0) {
            *self.summary.kills.entry(format!("{ending:?} of {}", arguments[0])).or_default() += 1;
        }
        let codes = [-1, 0, 1, 3];
        if let Some(output) = output.as_ref().filter(|output| !codes.contains(&output.code)) {
            let is_over = output.code == 2 && self.is_over(arguments[0]).await;
            assert!(is_over, "PGRECAST_TEST_SEED={}: {ending:?}: {}", self.seed, output.whole());
        }
        output
    }

    /// Whether the last migration has the final phase of a command.
    async fn is_over(&self, command: &str) -> bool {
        let end: &[&str] = match command {
            "run" => &["swapped"],
            "abort" => &["aborted"],
            "rollback" => &["rolled_back"],
            _ => &["finished"],
        };
        end.contains(&self.phase().await.as_str())
    }

    async fn phase(&self) -> String {
        let db = &self.executioner.db;
        if db.query_value::<bool>("select to_regclass('pgrecast.migration') is null").await {
            return String::new();
        }
        let phases: Vec<String> =
            db.query_column("select phase from pgrecast.migration order by created_at desc limit 1").await;
        phases.into_iter().next().unwrap_or_default()
    }

    async fn id(&self) -> String {
        self.executioner
            .db
            .query_value("select id::text from pgrecast.migration order by created_at desc limit 1")
            .await
    }

    async fn compare(&mut self, table: &Table) {
        self.summary.rows_compared += table.assert_equal(self.executioner.db).await;
        self.summary.comparisons += 1;
    }

    /// Runs one migration to one of its final phases. Returns whether the table has its new shape.
    async fn migrate(&mut self, change: &Change, table: &Table, workload: &Workload) -> bool {
        let before = schema_dump(self.executioner.db).await;
        let arguments = change.arguments();
        let end = if self.random.one_in(5) {
            self.ended(&arguments).await;
            match self.phase().await.as_str() {
                "swapped" => "rolled back",
                // Not begun, or of an earlier one.
                "" | "aborted" | "rolled_back" | "finished" => return false,
                _ => "aborted",
            }
        } else {
            let output = self.finish(&arguments).await;
            if output.code == 3 {
                let why = output.stderr.lines().filter(|line| line.contains(": ")).take(2);
                let why = format!("{}: {}", change.alter, why.collect::<Vec<_>>().join(" "));
                *self.summary.refused.entry(why).or_default() += 1;
                return false;
            }
            workload.commits(3).await;
            if self.random.one_in(2) { "kept" } else { "rolled back" }
        };
        let id = self.id().await;
        match end {
            "aborted" => drop(self.finish(&["abort", &id]).await),
            "rolled back" => {
                self.finish(&["rollback", &id]).await;
                workload.commits(3).await;
                self.finish(&["cleanup", &id]).await;
            }
            _ => drop(self.finish(&["cleanup", &id]).await),
        }
        *self.summary.ends.entry(end).or_default() += 1;
        assert_no_object_left(self.executioner.db).await;
        if end != "kept" {
            // In every snapshot both are equal, also during writes.
            self.compare(table).await;
            let differences = diff(
                &dump::without_sequence_values(&before),
                &dump::without_sequence_values(&schema_dump(self.executioner.db).await),
            );
            assert!(differences.is_empty(), "PGRECAST_TEST_SEED={}: {differences:?}", self.seed);
            self.summary.catalogs += 1;
        }
        end == "kept"
    }
}

/// Tests one table from its creation to its last comparison.
async fn torture(cluster: &Cluster, seed: u64, summary: &mut Summary) {
    let mut random = Random::new(seed);
    let model = Model::new(&mut random);
    let mut db = TestDb::create_in(cluster, "torture").await.with_little_as_much();
    let table = model.create(&db, seed, model.rows).await;
    let is_viewed = random.one_in(2);
    if is_viewed {
        let views = VIEWS.replace("{table}", &table.original);
        db.execute(&views).await;
    }
    println!("PGRECAST_TEST_SEED={seed}: {} rows, {}", model.rows, model.definition);
    let mut plan = Workload::on(&table).outliving_the_server();
    if model.truncates {
        plan = plan.with_truncate();
    }
    let workload = plan.start(&db).await;
    let executioner = Executioner::of(&mut db).await;
    let mut story = Story { executioner, random, summary, seed };
    let mut kept = None;
    for _ in 0..=story.random.below(3) {
        let change = model.change(&mut story.random);
        println!("  {}", change.arguments().join(" "));
        if story.migrate(&change, &table, &workload).await {
            kept = Some(change);
            break;
        }
    }
    workload.commits(2).await;
    let report = workload.stop().await;
    report.assert_clean();
    drop(story.executioner);
    if is_viewed {
        let counts: Vec<i64> = db
            .query_column(&format!(
                "select n from counted union select count(*) from whole union select count(*) from {}",
                table.original
            ))
            .await;
        assert_eq!(counts.len(), 1, "PGRECAST_TEST_SEED={seed}: views read other rows: {counts:?}");
        db.execute("drop materialized view counted_once; drop view over, whole, counted").await;
    }
    if let Some(change) = kept {
        let oracle = TestDb::create_in(cluster, "plain").await;
        let untouched = model.create(&oracle, seed, 0).await;
        for (db, table) in [(&db, &table.twin), (&oracle, &untouched.original), (&oracle, &untouched.twin)] {
            change.apply(db, table).await;
        }
        let differences = diff(
            &dump::without_sequence_values(&schema_dump(&oracle).await),
            &dump::without_sequence_values(&schema_dump(&db).await),
        );
        assert!(differences.is_empty(), "PGRECAST_TEST_SEED={seed}: the catalog differs: {differences:?}");
        summary.catalogs += 1;
    }
    summary.rows_compared += table.assert_equal(&db).await;
    summary.comparisons += 1;
    summary.tables += 1;
    summary.transactions += report.transactions;
    summary.statements += report.statements;
    summary.reconnections += report.reconnections;
    summary.serialization_failures += report.serialization_failures;
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_is_done_to_it_the_table_is_as_postgresql_would_have_it() {
    let minutes: f64 = std::env::var("PGRECAST_TORTURE_MINUTES").map_or(1.0, |text| text.parse().unwrap());
    let first = std::env::var("PGRECAST_TEST_SEED").ok().map(|text| text.parse().unwrap());
    let first: u64 = first.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 32);
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let cluster = Cluster::start(&[]);
    let mut summary = Summary::default();
    for seed in first.. {
        torture(&cluster, seed, &mut summary).await;
        if Instant::now() >= until {
            break;
        }
    }
    println!("{summary}");
    assert!(summary.kills.values().sum::<u64>() > 0, "something was killed");
}
