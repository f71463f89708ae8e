//! The phases that build the shadow: create it, start capture, copy the rows, build the indexes.

use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::Client;

use super::Options;
use crate::capture::Captured;
use crate::catalog::{Column, Definition, Fingerprint, Persistence};
use crate::copy::{self, Copied};
use crate::error::{Kind, Result};
use crate::failpoint::Failpoint;
use crate::index::{self, vacuum};
use crate::lock::{Locking, Purpose};
use crate::name::Ident;
use crate::pair::Direction;
use crate::plan::key::KeyColumn;
use crate::preview;
use crate::replay::catch_up::Crew;
use crate::run::events::{Note, Outcome, Work};
use crate::run::{Run, definition, made, pairs};
use crate::state::{self, Migration, Part, Phase, TableChange};
use crate::{capture, shadow};

pub(super) async fn make_shadow(run: &Run, migration: &mut Migration) -> Result<()> {
    let control = &run.control;
    run.events.began(Work::Shadow);
    control.batch_execute("begin; set local lock_timeout = '300ms'").await?;
    for change in migration.tables.clone() {
        if let Err(error) = make_one_shadow(control, &change).await {
            control.batch_execute("rollback").await?;
            return Err(if error.kind == Kind::Refused { error.state("nothing was changed") } else { error });
        }
    }
    migration.advance(control, Phase::Shadowed).await?;
    control.batch_execute("commit").await?;
    Failpoint::Shadowed.pass();
    run.events.ended(Outcome::Done);
    Ok(())
}

async fn make_one_shadow(control: &Client, change: &TableChange) -> Result<()> {
    let original = Definition::read(control, change.original_oid).await?;
    if crate::catalog::fingerprint(control, change.original_oid).await? != change.fingerprint {
        return Err(definition::changed(change));
    }
    let place = preview::place_of(change.migration_id, change.ordinal, &change.name);
    let blueprint = shadow::build(control, &original, &place, &change.asked.change()?).await?;
    control.batch_execute(&format!("create schema {}", change.retired_schema)).await?;
    state::store(control, change.id, &blueprint).await?;
    change.record_shadow(control, blueprint.new.table.oid).await?;
    let is_unlogged = blueprint.new.table.persistence == Persistence::Unlogged;
    let columns = |definition: &Definition, name: fn(&KeyColumn) -> &Ident| -> Vec<Column> {
        let named = |key| definition.columns.iter().find(|column| column.name == *name(key)).cloned();
        blueprint.key.iter().filter_map(named).collect()
    };
    for (direction, key, held_like) in [
        (Direction::Forward, columns(&original, |key| &key.original), change.shadow()),
        (Direction::Reverse, columns(&blueprint.new, |key| &key.new), change.name.clone()),
    ] {
        capture::prepare(control, change, direction, &Captured { key, held_like, is_unlogged }).await?;
    }
    Ok(())
}

pub(super) async fn start_capture(run: &Run, migration: &mut Migration, options: &Options) -> Result<()> {
    let control = &run.control;
    run.events.began(Work::Capture);
    let mut open = migration.tables.clone();
    open.retain(|change| change.phase != Phase::Capturing);
    let ids: Vec<i64> = open.iter().map(|change| change.id).collect();
    let mut locking = Locking::new(run, &ids, Purpose::Capture, options.lock);
    for (n, change) in open.iter().enumerate() {
        if let Err(error) = capture::start(control, change, &mut locking).await {
            control.batch_execute("rollback").await?;
            return Err(error);
        }
        // The phase commits with the triggers of the last table.
        if n + 1 == open.len() {
            migration.advance(control, Phase::Capturing).await?;
        } else {
            change.reach(control, Phase::Capturing).await?;
        }
        control.batch_execute("commit").await?;
        Failpoint::Capturing.pass();
        copy::begin(control, change).await?;
    }
    let story = locking.story;
    run.events.ended(Outcome::Locked { attempts: story.attempts, waited: story.waited });
    Ok(())
}

pub(super) async fn copy(run: &Run, migration: &mut Migration, options: &Options) -> Result<()> {
    let control = &run.control;
    run.events.began(Work::Copy);
    let started = Instant::now();
    for change in migration.tables.iter().filter(|change| change.phase != Phase::Copied) {
        copy_one(run, change, options).await?;
        change.reach(control, Phase::Copied).await?;
    }
    Failpoint::AllCopied.pass();
    migration.advance(control, Phase::Copied).await?;
    Failpoint::Copied.pass();
    let mut rows = 0;
    for change in &migration.tables {
        rows += state::chunk::progress(control, change.id).await?.rows;
    }
    run.events.ended(Outcome::Copied { rows, took: started.elapsed() });
    Ok(())
}

/// Copies all parts of a table. Starts again if the file of a part has changed.
async fn copy_one(run: &Run, change: &TableChange, options: &Options) -> Result<()> {
    let control = &run.control;
    let pair = Arc::new(pairs::load(control, change, Direction::Forward).await?);
    'again: loop {
        let parts = Part::list(control, change.id).await?;
        if parts.iter().any(|part| part.blocks.is_none()) {
            copy::begin(control, change).await?;
            continue;
        }
        for part in &parts {
            if copy::copy(run, change, part, &pair, options.copy).await? == Copied::FileChanged {
                run.events.noted(Note::FileChanged(change.name.shown()));
                copy::begin(control, change).await?;
                continue 'again;
            }
        }
        return capture::check(control, change, &pair).await;
    }
}

pub(super) async fn indexes(run: &Run, migration: &mut Migration, options: &Options) -> Result<()> {
    let control = &run.control;
    run.events.began(Work::Index);
    let mut built = 0;
    for change in &migration.tables {
        let pair = pairs::load(control, change, Direction::Forward).await?;
        index::build_key(run, change, &pair, options.index_jobs).await?;
        index::build_others(run, change, &pair, options.index_jobs).await?;
        built += index::count(control, change).await?;
        // Replay the changes made during the builds, before the statistics are collected.
        Crew::new(run).catch_up(&pair).await?;
    }
    run.events.ended(Outcome::Built(built));
    run.events.began(Work::Vacuum);
    for change in &migration.tables {
        vacuum::vacuum(control, change).await?;
        if let Some(shadow) = change.shadow_oid {
            // Before the definition is recorded: an event trigger may have fired for an index build.
            let asked = change.asked.change()?;
            made::expect_altered(control, change.original_oid, &change.shadow(), &asked.alter)
                .await
                .map_err(made::begun)?;
            definition::record(control, &Fingerprint::prepare(control).await?, change, shadow).await?;
        }
    }
    run.events.ended(Outcome::Vacuumed);
    Failpoint::Vacuumed.pass();
    migration.advance(control, Phase::Indexed).await?;
    Failpoint::Indexed.pass();
    Ok(())
}
