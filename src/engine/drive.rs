//! From phase to phase: one exhaustive match.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::Options;
use crate::alter::{Alter, read_assignment};
use crate::capture;
use crate::catalog::{Definition, Fingerprint};
use crate::copy;
use crate::copy::Copied;
use crate::db::{Session, Sessions};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::in_place;
use crate::index;
use crate::index::vacuum;
use crate::lock::{LockStory, Locking, Purpose};
use crate::name::{Fragment, Ident, sql};
use crate::pair::{Direction, Pair};
use crate::plan::Side;
use crate::plan::in_place::Strategy;
use crate::plan::key::KeyColumn;
use crate::preview;
use crate::replay;
use crate::replay::catch_up::Crew;
use crate::replay::level::bring_level;
use crate::run::definition;
use crate::run::events::Watch;
use crate::shadow;
use crate::shadow::Request;
use crate::state::{self, Migration, Phase, TableChange};
use crate::swap;
use crate::swap::finish;
use crate::swap::matviews;
use crate::swap::snapshots::{self, Point};
use crate::verify as verifying;
use crate::verify::grouped;

/// Runs a migration from where it is to the swap, and what is to be done after it.
pub(super) async fn drive(
    control: &Session,
    sessions: &Sessions,
    migration: &mut Migration,
    options: Options,
    watch: &Watch,
) -> Result<()> {
    if migration.phase == Phase::Verified {
        // A verification counts for the run that made it: who knows what happened since.
        migration.advance(control, Phase::Level).await?;
    }
    loop {
        tracing::debug!(phase = %migration.phase, "next step");
        match migration.phase {
            Phase::Planned if migration.needs_no_copy => {
                return change_in_place(control, sessions, migration, options, watch).await;
            }
            Phase::Planned => make_shadow(control, migration, watch).await?,
            Phase::Shadowed => start_capture(control, migration, options, watch).await?,
            Phase::Capturing => copy_all(control, sessions, migration, options, watch).await?,
            Phase::Copied => build_indexes(control, sessions, migration, options, watch).await?,
            Phase::Indexed => bring_all_level(control, sessions, migration, watch).await?,
            Phase::Level => verify_all(control, sessions, migration, options, watch).await?,
            Phase::Verified => swap_all(control, sessions, migration, options, watch).await?,
            Phase::Swapped => return after_swap(control, sessions, migration, options, watch).await,
            Phase::Finished | Phase::Aborted | Phase::RolledBack => {
                return Err(Error::usage(format!(
                    "migration {} is {}: there is nothing to go on with",
                    migration.short_id(),
                    migration.phase
                )));
            }
        }
        migration.tables = TableChange::list(control, migration.id).await?;
    }
}

async fn change_in_place(
    control: &Session,
    sessions: &Sessions,
    migration: &mut Migration,
    options: Options,
    watch: &Watch,
) -> Result<()> {
    for change in migration.tables.clone() {
        in_place::run(control, sessions, migration, &change, options.lock, watch).await?;
    }
    Ok(())
}

async fn make_shadow(control: &Client, migration: &mut Migration, watch: &Watch) -> Result<()> {
    watch.begin("shadow");
    control.batch_execute("begin; set local lock_timeout = '300ms'").await?;
    for change in migration.tables.clone() {
        let made = make_one_shadow(control, &change).await;
        if let Err(error) = made {
            control.batch_execute("rollback").await?;
            return Err(error);
        }
    }
    migration.advance(control, Phase::Shadowed).await?;
    control.batch_execute("commit").await?;
    Failpoint::Shadowed.pass();
    watch.end("");
    Ok(())
}

async fn make_one_shadow(control: &Client, change: &TableChange) -> Result<()> {
    let original = Definition::read(control, change.original_oid).await?;
    if crate::catalog::fingerprint(control, change.original_oid).await? != change.fingerprint {
        return Err(definition::changed(change));
    }
    let request = stored_request(change)?;
    let place = preview::place_of(change.migration_id, change.ordinal, &change.name);
    let blueprint = shadow::build(control, &original, &place, &request).await?;
    control.batch_execute(&format!("create schema {}", change.retired_schema)).await?;
    state::store(control, change.id, &blueprint).await?;
    let shadow_oid = blueprint.new.table.oid;
    control
        .execute("update pgrecast.table_change set shadow_oid = $2 where id = $1", &[&change.id, &shadow_oid])
        .await?;
    let is_unlogged = blueprint.new.table.persistence == "u";
    let columns = |definition: &Definition, name: fn(&KeyColumn) -> &Ident| {
        blueprint
            .key
            .iter()
            .filter_map(|key| definition.columns.iter().find(|column| column.name == *name(key)).cloned())
            .collect::<Vec<_>>()
    };
    let (old, new) = (columns(&original, |key| &key.original), columns(&blueprint.new, |key| &key.new));
    let old: Vec<_> = old.iter().collect();
    let new: Vec<_> = new.iter().collect();
    capture::prepare(control, change, Direction::Forward, &old, &change.shadow(), is_unlogged).await?;
    capture::prepare(control, change, Direction::Reverse, &new, &change.name, is_unlogged).await
}

/// What was asked for, read back from the state.
fn stored_request(change: &TableChange) -> Result<Request> {
    let asked = &change.asked;
    let alter =
        if asked.statements.is_empty() { Alter::rebuild() } else { Alter::from_texts(&asked.statements)? };
    let reverse =
        asked.reverse.iter().map(|text| read_assignment("--reverse", text)).collect::<Result<_>>()?;
    let filter = asked.filter.clone().map(Fragment::trusted);
    let (order, columns) = (asked.order.clone(), asked.columns.clone());
    Ok(Request { alter, reverse, filter, order, columns, strategy: Strategy::Copy })
}

async fn start_capture(
    control: &Client,
    migration: &mut Migration,
    options: Options,
    watch: &Watch,
) -> Result<()> {
    watch.begin("capture");
    let mut locking = Locking::new(control, migration.id, Purpose::Capture, options.lock, watch);
    for change in migration.tables.clone() {
        let started = capture::start(control, &change, &mut locking).await;
        if let Err(error) = started {
            control.batch_execute("rollback").await?;
            return Err(error);
        }
        // One table to a migration for now: the phase commits with its triggers.
        migration.advance(control, Phase::Capturing).await?;
        control.batch_execute("commit").await?;
        Failpoint::Capturing.pass();
        copy::begin(control, &change).await?;
    }
    let story = locking.story;
    watch.end(format!("asked {} times, waited {} ms", story.attempts, story.waited.as_millis()));
    Ok(())
}

async fn copy_all(
    control: &Client,
    sessions: &Sessions,
    migration: &mut Migration,
    options: Options,
    watch: &Watch,
) -> Result<()> {
    watch.begin("copy");
    let started = Instant::now();
    for change in migration.tables.clone() {
        let pair = Arc::new(Pair::load(control, &change, Direction::Forward).await?);
        if change.blocks.is_none() {
            copy::begin(control, &change).await?;
        }
        while copy::copy(control, sessions, &change, &pair, options.copy, watch).await? == Copied::FileChanged
        {
            watch.note(format!(
                "{} was truncated or rewritten by somebody else: the copy starts again",
                change.name.shown()
            ));
            copy::begin(control, &change).await?;
        }
        capture::check(control, &change, &pair).await?;
    }
    Failpoint::AllCopied.pass();
    migration.advance(control, Phase::Copied).await?;
    Failpoint::Copied.pass();
    let rows: i64 = copied_rows(control, migration).await?;
    let rate = rows as f64 / started.elapsed().as_secs_f64().max(0.001);
    watch.end(format!("{} rows, {:.0} k/s", grouped(rows), rate / 1000.0));
    Ok(())
}

async fn copied_rows(control: &Client, migration: &Migration) -> Result<i64> {
    let mut rows = 0;
    for change in &migration.tables {
        let row = control.query_one(&sql!("copy/read_progress.sql").text(), &[&change.id]).await?;
        rows += row.try_get::<_, i64>("rows_copied")?;
    }
    Ok(rows)
}

async fn build_indexes(
    control: &Client,
    sessions: &Sessions,
    migration: &mut Migration,
    options: Options,
    watch: &Watch,
) -> Result<()> {
    watch.begin("index");
    let mut built = 0;
    for change in migration.tables.clone() {
        let pair = Pair::load(control, &change, Direction::Forward).await?;
        index::build_key(control, sessions, &change, &pair, options.index_jobs, watch).await?;
        index::build_others(control, sessions, &change, &pair, options.index_jobs, watch).await?;
        built += index::count(control, &change).await?;
        // What came in during the builds, before the statistics are taken.
        Crew::new(control, sessions).catch_up(&pair, watch).await?;
    }
    watch.end(format!("{built} built"));
    watch.begin("vacuum");
    for change in &migration.tables {
        vacuum::vacuum(control, change).await?;
        if let Some(shadow) = change.shadow_oid {
            definition::record(control, &Fingerprint::prepare(control).await?, change, shadow).await?;
        }
    }
    watch.end("visibility map and statistics are there");
    Failpoint::Vacuumed.pass();
    migration.advance(control, Phase::Indexed).await?;
    Failpoint::Indexed.pass();
    Ok(())
}

async fn bring_all_level(
    control: &Client,
    sessions: &Sessions,
    migration: &mut Migration,
    watch: &Watch,
) -> Result<()> {
    watch.begin("level");
    for change in &migration.tables {
        let pair = Pair::load(control, change, Direction::Forward).await?;
        bring_level(control, sessions, migration.id, change, &pair, watch).await?;
        if matviews::build(control, change, watch).await? > 0 {
            bring_level(control, sessions, migration.id, change, &pair, watch).await?;
        }
    }
    watch.end("");
    migration.advance(control, Phase::Level).await?;
    Failpoint::Level.pass();
    Ok(())
}

async fn verify_all(
    control: &Client,
    sessions: &Sessions,
    migration: &mut Migration,
    options: Options,
    watch: &Watch,
) -> Result<()> {
    for change in &migration.tables {
        let pair = Pair::load(control, change, Direction::Forward).await?;
        outwait_older(control, sessions, migration, change, &pair, options, watch).await?;
        verify(control, sessions, migration, change, &pair, watch).await?;
    }
    migration.advance(control, Phase::Verified).await?;
    Failpoint::Verified.pass();
    Ok(())
}

/// Brings `to` level, and waits for every transaction that would not see it so: it keeps level meanwhile.
pub(super) async fn outwait_older(
    control: &Client,
    sessions: &Sessions,
    migration: &Migration,
    change: &TableChange,
    pair: &Pair,
    options: Options,
    watch: &Watch,
) -> Result<()> {
    watch.begin("snapshots");
    definition::check(control, &Fingerprint::prepare(control).await?, change, pair).await?;
    let again = async || bring_level(control, sessions, migration.id, change, pair, watch).await;
    again().await?;
    let level = Point::now(control).await?;
    let limit = options.snapshot_timeout;
    let (is_free, left) = snapshots::wait(control, change, &level, limit, watch, again).await?;
    if !is_free {
        return Err(Error::failed("a transaction that is older than the new table is still open")
            .because(left.join("; "))
            .hint(format!(
                "After the swap it would find rows missing. Wait for it or end it, then run the same command \
                 again; --snapshot-timeout says how long to wait (now {} s).",
                limit.as_secs()
            )));
    }
    watch.end("none is older than the level table");
    Ok(())
}

/// Compares a pair and writes the result down, also a bad one: a failed verification is never forgotten.
pub(super) async fn verify(
    control: &Client,
    sessions: &Sessions,
    migration: &Migration,
    change: &TableChange,
    pair: &Pair,
    watch: &Watch,
) -> Result<()> {
    watch.begin("verify");
    let mut tries = 0;
    let found = loop {
        // A mark of TRUNCATE in the log says that nothing can be compared before it is obeyed; other keys
        // that wait are no matter.
        capture::check(control, change, pair).await?;
        Crew::new(control, sessions).catch_up(pair, watch).await?;
        replay::round(control, pair).await?;
        match verifying::verify(control, sessions, change, pair, watch).await {
            Err(error) if error.kind == Kind::Transient && tries < 10 => {
                tries += 1;
                watch.note(format!("verification begins again: {}", error.message));
            }
            other => break other,
        }
    };
    let (rows, differences) = match &found {
        Ok(found) if found.differences == 0 => (Some(found.rows), Some(0)),
        Ok(found) => (None, Some(found.differences)),
        Err(_) => (None, None),
    };
    control
        .execute(
            "update pgrecast.migration set verified_rows = $2, verified_differences = $3,
                 verified_at = clock_timestamp() where id = $1",
            &[&migration.id, &rows, &differences],
        )
        .await?;
    Failpoint::VerificationWritten.pass();
    let found = found?;
    found.expect_equal(pair)?;
    watch.end(format!(
        "{} rows equal, 0 differences; {} pending changes accounted for",
        grouped(found.rows),
        grouped(found.pending)
    ));
    Ok(())
}

async fn swap_all(
    control: &Client,
    sessions: &Sessions,
    migration: &mut Migration,
    options: Options,
    watch: &Watch,
) -> Result<()> {
    for change in migration.tables.clone() {
        let pair = Pair::load(control, &change, Direction::Forward).await?;
        watch.begin("swap");
        matviews::fill(control, &change, Direction::Forward).await?;
        let (held, story) =
            swap::swap(control, sessions, migration, &change, &pair, options.lock, watch).await?;
        watch.end(lock_words(held, &story));
    }
    Ok(())
}

/// How the lock was had, in words.
pub(super) fn lock_words(held: Duration, story: &LockStory) -> String {
    let times =
        if story.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", story.attempts) };
    format!("lock held {} ms after {times}", held.as_millis())
}

/// Validates foreign keys, takes the guard off, and brings the retired table level once.
async fn after_swap(
    control: &Client,
    sessions: &Sessions,
    migration: &Migration,
    options: Options,
    watch: &Watch,
) -> Result<()> {
    for change in &migration.tables {
        watch.begin("finish");
        finish::validate(control, change, Side::New, options.lock, watch).await?;
        let guard =
            finish::take_guard_off(control, change, options.lock, options.snapshot_timeout, watch).await?;
        watch.end(if guard { "foreign keys valid, guard taken off" } else { "foreign keys valid" });
        watch.begin("reverse");
        let pair = Pair::load(control, change, Direction::Reverse).await?;
        bring_level(control, sessions, migration.id, change, &pair, watch).await?;
        watch.end("the retired table is level");
    }
    Ok(())
}
