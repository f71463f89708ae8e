//! A run that ends at each moment between two commits, because the process, a session, the server or the connection
//! dies, under live writers: the application continues, the same command completes, `abort` and `rollback` complete
//! too, and no write is lost.

use crate::support::ending::{Ending, Executioner};
use crate::support::proxy::{Loss, Proxy};
use crate::support::twin::{Column, Key, Values};
use crate::support::*;
use pgrecast::failpoint::Failpoint as P;

/// More than one batch of keys, if all of them change; and, because rows are wide, many pieces of a chunk.
const ROWS: u64 = 32_000;

const DEFINITION: &str = "
    create table if not exists parents (id int primary key);
    insert into parents select generate_series(-30000, 30000) on conflict do nothing;
    create table {table} (
        id int primary key,
        customer int not null references parents,
        state text,
        code text not null unique,
        counter int not null default 0
    ) with (fillfactor = 10);
    create index on {table} (state, counter)";

const ALTER: &str = "alter column id type bigint, add column note text not null default 'none'";

const RUN: [&str; 8] = ["run", "t", "--alter", ALTER, "--json", "--chunk-time", "50ms", "--jobs=2"];

/// The moments of a run to its end, each with its pass since the run began.
const WAY: [(P, u64); 35] = [
    (P::Planned, 1),
    (P::Shadowed, 1),
    (P::Capturing, 1),
    (P::CopyBegun, 1),
    (P::ChunkClaimed, 1),
    (P::ChunkCopied, 1),
    (P::ChunkCopied, 2),
    (P::AllCopied, 1),
    (P::Copied, 1),
    (P::Drained, 1),
    (P::LoggedDeleted, 1),
    (P::KeyBuilt, 1),
    (P::KeyMade, 1),
    (P::Measured, 1),
    (P::BatchDone, 1),
    (P::RoundDone, 1),
    (P::IndexBuilt, 1),
    (P::IndexBuilt, 1),
    (P::IndexMade, 1),
    (P::IndexMade, 1),
    (P::Drained, 2),
    (P::Vacuumed, 1),
    (P::Indexed, 1),
    (P::RoundDone, 1),
    (P::MaterializedViewMade, 1),
    (P::Level, 1),
    (P::VerificationWritten, 1),
    (P::Verified, 1),
    (P::SwapReady, 1),
    (P::Swapped, 1),
    (P::ForeignKeyValidated, 1),
    (P::ForeignKeyValidated, 1),
    (P::GuardIdle, 1),
    (P::GuardOff, 1),
    (P::RoundDone, 1),
];

/// How many of the moments are before the swap.
const BEFORE_THE_SWAP: usize = 29;

const WAY_BACK: [(P, u64); 10] = [
    (P::RoundDone, 1),
    (P::Level, 1),
    (P::VerificationWritten, 1),
    (P::Verified, 1),
    (P::SwapReady, 1),
    (P::Swapped, 1),
    (P::ForeignKeyValidated, 1),
    (P::ForeignKeyValidated, 1),
    (P::GuardIdle, 1),
    (P::GuardOff, 1),
];

/// Tested in `in_place/steps.rs`.
const IN_PLACE: [P; 4] = [P::StepBegun, P::StepIndexDone, P::StepDone, P::StepUndone];

const TAKING_AWAY: [(P, u64); 3] = [(P::TriggersOff, 1), (P::ObjectsDropped, 1), (P::TakenAway, 1)];

/// A filled table with its twin, and a table that references it.
async fn create(db: &TestDb<'_>) -> Table {
    let columns = [
        Column::new("customer", Values::Int),
        Column::nullable("state", Values::Text),
        Column::new("code", Values::UniqueText),
        Column::new("counter", Values::Counter),
    ];
    let table = Table::create(db, "t", DEFINITION, Key::Int("id"), &columns).await;
    table.fill(db, ROWS).await;
    // Hot rows are never deleted, nor are their keys changed.
    db.execute(
        "create table child (t_id int references t); insert into child select generate_series(0, 15);
         create materialized view states as select state, count(*) from t group by state;
         create view counted as select id, counter from t where counter > 0",
    )
    .await;
    table
}

/// Changes every row at once. Waits for writers first, to avoid a deadlock.
async fn change_all_rows(db: &TestDb<'_>) {
    db.execute(
        "begin; lock table t in exclusive mode;
         update t set counter = counter + 1; update twin.t set counter = counter + 1; commit",
    )
    .await;
}

async fn phase(db: &TestDb<'_>) -> String {
    db.query_value("select phase from pgrecast.migration order by created_at desc limit 1").await
}

/// Ends the command at each of these moments in sequence, in different ways, while the application works.
async fn end_at_each(
    executioner: &mut Executioner<'_, '_>,
    workload: &Workload,
    arguments: &[&str],
    way: &[(P, u64)],
    endings: &[Ending],
) {
    for ((point, pass), ending) in way.iter().zip(endings.iter().copied().cycle()) {
        if *point == P::Planned && ending != Ending::Kill {
            continue; // the next command connects again
        }
        let ended = executioner.end_at(arguments, *point, *pass, ending).await;
        assert!(ended.is_some(), "{arguments:?} never reached {point:?}");
        workload.commits(1).await;
        if *point == P::Capturing {
            change_all_rows(executioner.db).await;
        }
    }
}

/// The change completes although the run is ended at every moment.
async fn runs_to_the_end_in_spite_of(endings: &[Ending]) {
    let cluster = Cluster::start(&[]);
    let mut db = TestDb::create_in(&cluster, "kill").await.with_little_as_much();
    let table = create(&db).await;
    let workload = Workload::on(&table).outliving_the_server().start(&db).await;
    let mut executioner = Executioner::of(&mut db).await;
    end_at_each(&mut executioner, &workload, &RUN, &WAY, endings).await;
    executioner.db.pgrecast(&RUN).await.expect_code(0);
    executioner.db.pgrecast(&["verify", "t"]).await.expect_code(0);
    end_at_each(&mut executioner, &workload, &["cleanup", "t"], &TAKING_AWAY[..2], endings).await;
    executioner.db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    workload.commits(5).await;
    workload.stop().await.assert_clean();
    drop(executioner);
    db.execute(&format!("alter table {} {ALTER}", table.twin)).await;
    assert!(table.assert_equal(&db).await > 0);
    let reads_all: bool = db
        .query_value(
            "select count(*) > 0 and count(*) = (select count(*) from t where counter > 0) from counted",
        )
        .await;
    assert!(reads_all, "the view reads the new table");
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}

/// The rollback completes although it is ended at every moment.
async fn rolls_back_in_spite_of(endings: &[Ending]) {
    let cluster = Cluster::start(&[]);
    let mut db = TestDb::create_in(&cluster, "back").await.with_little_as_much();
    let table = create(&db).await;
    let before = schema_dump(&db).await;
    let workload = Workload::on(&table).outliving_the_server().start(&db).await;
    let mut executioner = Executioner::of(&mut db).await;
    // Ended right after the swap: the rollback starts from another state than after a complete run.
    end_at_each(&mut executioner, &workload, &RUN, &[(P::Swapped, 1)], endings).await;
    end_at_each(&mut executioner, &workload, &["rollback", "t"], &WAY_BACK[..6], endings).await;
    let id: String = executioner.db.query_value("select id::text from pgrecast.migration").await;
    end_at_each(&mut executioner, &workload, &["rollback", &id], &WAY_BACK[6..], endings).await;
    executioner.db.pgrecast(&["rollback", &id]).await.expect_code(0);
    assert_eq!(phase(executioner.db).await, "rolled_back");
    end_at_each(&mut executioner, &workload, &["cleanup", &id], &TAKING_AWAY, endings).await;
    executioner.db.pgrecast(&["cleanup", &id]).await.expect_code(0);
    workload.commits(5).await;
    workload.stop().await.assert_clean();
    drop(executioner);
    assert!(table.assert_equal(&db).await > 0);
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}

/// Aborted after the run was ended at each moment before the swap; the abort is ended too.
async fn is_given_up_in_spite_of(endings: &[Ending]) {
    let cluster = Cluster::start(&[]);
    let mut db = TestDb::create_in(&cluster, "abort").await.with_little_as_much();
    let table = create(&db).await;
    let before = schema_dump(&db).await;
    let workload = Workload::on(&table).outliving_the_server().start(&db).await;
    let mut executioner = Executioner::of(&mut db).await;
    // All moments, a quarter for each of the four ways.
    let place = Ending::ALL.iter().position(|ending| endings == [*ending]).unwrap_or(1);
    for (n, (point, pass)) in WAY[..BEFORE_THE_SWAP].iter().enumerate().skip(place).step_by(4) {
        let endings = &endings[n / 4 % endings.len()..];
        if *point == P::BatchDone {
            end_at_each(&mut executioner, &workload, &RUN, &[(P::Capturing, 1)], endings).await;
        }
        end_at_each(&mut executioner, &workload, &RUN, &[(*point, *pass)], endings).await;
        end_at_each(&mut executioner, &workload, &["abort", "t"], &[TAKING_AWAY[n % 3]], endings).await;
        if phase(executioner.db).await != "aborted" {
            executioner.db.pgrecast(&["abort", "t"]).await.expect_code(0);
        }
        assert_no_object_left(executioner.db).await;
    }
    workload.commits(5).await;
    workload.stop().await.assert_clean();
    drop(executioner);
    assert!(table.assert_equal(&db).await > 0);
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}

/// The ways to end a run in turn; and each separately, if all cases are requested.
fn ways_to_end() -> impl Iterator<Item = &'static [Ending]> {
    some([&Ending::ALL[..]].into_iter().chain(Ending::ALL.chunks(1)), 0, 1 + Ending::ALL.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_end_keeps_a_run_from_its_own() {
    for endings in ways_to_end() {
        runs_to_the_end_in_spite_of(endings).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_end_keeps_a_rollback_from_its_own() {
    for endings in ways_to_end() {
        rolls_back_in_spite_of(endings).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_ended_can_be_given_up_without_a_trace() {
    for endings in ways_to_end() {
        is_given_up_in_spite_of(endings).await;
    }
}

/// The connection breaks while the swap commits: the state is correct, and `run` continues from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_commit_of_the_swap_without_an_answer_is_neither_guessed_nor_repeated() {
    let cluster = Cluster::start(&[]);
    let db = TestDb::create_in(&cluster, "unknown").await;
    let table = create(&db).await;
    let workload = Workload::on(&table).start(&db).await;
    let proxy = Proxy::start(&cluster).await;
    let connection = proxy.environment();
    let through_proxy = connection.each_ref().map(|(name, value)| (*name, value.as_str()));
    let broken = async |arguments: &[&str], loss: Loss| {
        proxy.break_next_swap(loss);
        let output = db.spawn_with("postgres", arguments, &through_proxy).wait().await.expect_code(1);
        assert!(proxy.has_broken_a_swap(), "{}", output.whole());
        assert!(output.stderr.contains("connection to the server was lost"), "{}", output.whole());
        workload.commits(2).await;
        phase(&db).await
    };
    assert_eq!(broken(&RUN, Loss::Commit).await, "verified");
    assert_eq!(broken(&RUN, Loss::Answer).await, "swapped");
    db.pgrecast(&RUN).await.expect_code(0);
    assert_eq!(broken(&["rollback", "t"], Loss::Commit).await, "retired_verified");
    assert_eq!(broken(&["rollback", "t"], Loss::Answer).await, "rolled_back");
    db.pgrecast(&["rollback", "t"]).await.expect_code(0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    workload.stop().await.assert_clean();
    assert!(table.assert_equal(&db).await > 0);
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}

/// A backend still executes the statement of a killed run when the next run begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_chunk_that_an_orphan_still_copies_is_not_copied_twice() {
    let db = TestDb::create("orphan").await;
    db.execute(
        "create table t (id int primary key, n int);
         insert into t select g, g from generate_series(1, 10000) g;
         create function held(n int) returns bigint immutable language plpgsql as
             $$ begin perform pg_advisory_xact_lock_shared(42); return n; end $$",
    )
    .await;
    let run = ["run", "t", "--alter", "alter n type bigint using held(n)"];
    // The orphan continues when the next run begins, or is held until that run has terminated it.
    for is_let_go in [true, false] {
        let obstacle = db.connect().await;
        obstacle.batch_execute("begin; select pg_advisory_xact_lock(42)").await.unwrap();
        let first = db.spawn(&run);
        let copying = "select count(*) from pg_stat_activity
            where application_name ~ '^pgrecast .* copy' and wait_event = 'advisory'";
        wait_until("the chunk is being copied", async || db.query_value::<i64>(copying).await == 1).await;
        first.kill();
        first.wait().await;
        assert_eq!(db.query_value::<i64>(copying).await, 1, "the orphan is still active");
        let second = db.spawn(&run);
        if !is_let_go {
            wait_until("the orphan is gone", async || {
                let claims = "select count(*) from pg_stat_activity
                    where application_name ~ '^pgrecast .* copy' and query like 'insert into%'
                      and backend_start < (select max(backend_start) from pg_stat_activity
                                           where application_name ~ '^pgrecast .* control')";
                second.has_ended() || db.query_value::<i64>(claims).await == 0
            })
            .await;
        }
        obstacle.batch_execute("rollback").await.unwrap();
        second.wait().await.expect_code(0);
        let rows: i64 = db.query_value("select count(*) from t").await;
        assert_eq!(rows, 10_000);
        let copied: i64 = db.query_value("select sum(rows_copied)::bigint from pgrecast.chunk").await;
        assert_eq!(copied, 10_000, "each row was copied once");
        db.pgrecast(&["rollback", "t"]).await.expect_code(0);
        db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
        db.execute("delete from pgrecast.chunk").await;
    }
    assert_nothing_left(&db).await;
}

/// The same if the next run cannot see or terminate the orphan: only the chunk's record prevents a double copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_chunk_is_left_alone_when_an_unknown_session_has_copied_it_meanwhile() {
    let mut db = TestDb::create("unseen").await;
    db.execute(
        "create table t (id int primary key, n int);
         insert into t select g, g from generate_series(1, 10000) g",
    )
    .await;
    let run = ["run", "t", "--alter", "alter n type bigint", "--jobs=1"];
    Executioner::of(&mut db).await.end_at(&run, P::ChunkClaimed, 1, Ending::Kill).await.unwrap();
    let shadow: String = db.query_value("select shadow_oid::regclass::text from pgrecast.table_change").await;
    let orphan = db.connect().await;
    orphan
        .batch_execute(&format!(
            "begin; select from pgrecast.chunk for update; insert into {shadow} select id, n from t;
             update pgrecast.chunk set copied_at = clock_timestamp(), rows_copied = 10000"
        ))
        .await
        .unwrap();
    let running = db.spawn(&run);
    let waits = "select exists (select from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0)";
    wait_until("the run waits for it", async || running.has_ended() || db.query_value::<bool>(waits).await)
        .await;
    orphan.batch_execute("commit").await.unwrap();
    running.wait().await.expect_code(0);
    let rows: i64 = db.query_value("select count(*) from t").await;
    assert_eq!(rows, 10_000);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    drop(orphan);
    assert_nothing_left(&db).await;
}

/// Several indexes in parallel: some exist before the key's index.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn indexes_beside_the_key_are_built_to_the_end_in_spite_of_anything() {
    let run = [&RUN[..], &["--index-jobs=3"]].concat();
    let key_is_open =
        "select made_at is null from pgrecast.dependent where side = 'new' and kind = 'key index'";
    let endings = &[Ending::Kill]; // the others: torture.rs
    let cluster = Cluster::start(&[]);
    let mut db = TestDb::create_in(&cluster, "beside").await.with_little_as_much();
    let table = create(&db).await;
    db.execute(
        "create index on t (counter); create index on t (customer, code);
         create index on twin.t (counter); create index on twin.t (customer, code)",
    )
    .await;
    // The application starts after the copy: on a slow machine too many rows would change for indexes to be built in
    // parallel.
    let copied =
        db.spawn_with("postgres", &run, &[("PGRECAST_FAILPOINT", P::AllCopied.as_str())]).wait().await;
    assert_eq!(copied.code, -1, "{}", copied.whole());
    let workload = Workload::on(&table).outliving_the_server().start(&db).await;
    let mut executioner = Executioner::of(&mut db).await;
    end_at_each(&mut executioner, &workload, &run, &[(P::IndexBuilt, 1)], endings).await;
    let is_beside: bool = executioner.db.query_value(key_is_open).await;
    assert!(is_beside, "the index of the key was built first");
    let way =
        [(P::KeyBuilt, 1), (P::LoggedDeleted, 1), (P::KeyMade, 1), (P::IndexMade, 1), (P::IndexMade, 2)];
    end_at_each(&mut executioner, &workload, &run, &way, endings).await;
    executioner.db.pgrecast(&run).await.expect_code(0);
    workload.commits(5).await;
    workload.stop().await.assert_clean();
    drop(executioner);
    db.execute(&format!("alter table {} {ALTER}", table.twin)).await;
    assert!(table.assert_equal(&db).await > 0);
    db.pgrecast(&["cleanup", "t"]).await.expect_code(0);
    db.assert_no_deadlock();
    assert_nothing_left(&db).await;
}

#[test]
fn every_failpoint_is_on_one_of_the_ways() {
    for point in P::ALL {
        let is_met = WAY.iter().chain(&WAY_BACK).chain(&TAKING_AWAY).any(|(other, _)| other == point);
        assert!(is_met || IN_PLACE.contains(point), "{point:?} is never met");
    }
    assert_eq!(WAY[BEFORE_THE_SWAP], (P::Swapped, 1));
}
