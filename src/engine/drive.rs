//! Moves a migration from phase to phase, forward and back: one driver with a direction, one exhaustive match.

use tokio_postgres::Client;

use super::{Options, build};
use crate::catalog::Fingerprint;
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::pair::{Direction, Pair};
use crate::plan::Side;
use crate::replay::catch_up::Crew;
use crate::replay::{self, bring_level};
use crate::run::events::{Note, Outcome, Work};
use crate::run::{Run, definition, pairs};
use crate::state::{Migration, Phase, TableChange};
use crate::swap::snapshots::{self, Readers};
use crate::swap::{self, finish, matviews};
use crate::{capture, in_place, verify as comparison};

/// Drives a migration from its phase to the swap and through the work after it; or, in a rollback, from the swap to the
/// swap back.
pub(super) async fn drive(
    run: &Run,
    migration: &mut Migration,
    options: &Options,
    direction: Direction,
) -> Result<()> {
    if let Some(earlier) = where_to_begin(migration.phase, direction) {
        migration.advance(&run.control, earlier).await?;
    }
    loop {
        tracing::debug!(phase = %migration.phase, "next step");
        match (migration.phase, direction) {
            (Phase::Planned, Direction::Forward) if migration.needs_no_copy => {
                return change_in_place(run, migration, options).await;
            }
            (Phase::Planned, Direction::Forward) => build::make_shadow(run, migration).await?,
            (Phase::Shadowed, Direction::Forward) => build::start_capture(run, migration, options).await?,
            (Phase::Capturing, Direction::Forward) => build::copy(run, migration, options).await?,
            (Phase::Copied, Direction::Forward) => build::indexes(run, migration, options).await?,
            (Phase::Indexed, Direction::Forward) | (Phase::Swapped, Direction::Reverse) => {
                level(run, migration, direction).await?;
            }
            (Phase::Level, Direction::Forward) | (Phase::RetiredLevel, Direction::Reverse) => {
                verify_all(run, migration, options, direction).await?;
            }
            (Phase::Verified, Direction::Forward) | (Phase::RetiredVerified, Direction::Reverse) => {
                swap_all(run, migration, options, direction).await?;
            }
            (Phase::Swapped, Direction::Forward) | (Phase::RolledBack, Direction::Reverse) => {
                return after_swap(run, migration, options, direction).await;
            }
            (phase, _) => return Err(nothing_to_do(migration, phase, direction)),
        }
        *migration = Migration::load(&run.control, migration.id).await?;
    }
}

/// The phase from which a run continues. A verification counts only for the run that performed it, because tables may
/// have changed since. A run forward gives up a rollback that has begun.
fn where_to_begin(phase: Phase, direction: Direction) -> Option<Phase> {
    match (phase, direction) {
        (Phase::Verified, Direction::Forward) => Some(Phase::Level),
        (Phase::RetiredVerified, Direction::Reverse) => Some(Phase::RetiredLevel),
        (Phase::RetiredLevel | Phase::RetiredVerified, Direction::Forward) => Some(Phase::Swapped),
        _ => None,
    }
}

fn nothing_to_do(migration: &Migration, phase: Phase, direction: Direction) -> Error {
    let id = migration.short_id();
    let error = match direction {
        Direction::Forward => format!("migration {id} is {phase}: there is nothing to continue"),
        Direction::Reverse => format!("migration {id} is {phase}: there is nothing to roll back"),
    };
    let command = if phase.is_before_swap() { "abort" } else { "status" };
    Error::usage(error).hint(format!("Run `pgrecast {command} {id}`."))
}

async fn change_in_place(run: &Run, migration: &mut Migration, options: &Options) -> Result<()> {
    for change in migration.tables.clone() {
        in_place::change(run, migration, &change, options.lock).await?;
    }
    Ok(())
}

/// The phases of both directions, named by the state of the incoming table.
fn phase_of(level: Phase, direction: Direction) -> Phase {
    match (level, direction) {
        (Phase::Level, Direction::Reverse) => Phase::RetiredLevel,
        (Phase::Verified, Direction::Reverse) => Phase::RetiredVerified,
        (phase, _) => phase,
    }
}

async fn level(run: &Run, migration: &mut Migration, direction: Direction) -> Result<()> {
    run.events.began(Work::Level);
    let to = phase_of(Phase::Level, direction);
    for change in migration.tables.iter().filter(|change| change.phase != to) {
        let pair = pairs::load(&run.control, change, direction).await?;
        bring_level(run, change, &pair).await?;
        match direction {
            Direction::Forward if matviews::build(run, change).await? > 0 => {
                bring_level(run, change, &pair).await?;
            }
            Direction::Forward => {}
            Direction::Reverse => matviews::fill(&run.control, change, direction).await?,
        }
        change.reach(&run.control, to).await?;
    }
    run.events.ended(match direction {
        Direction::Forward => Outcome::Done,
        Direction::Reverse => Outcome::Level,
    });
    migration.advance(&run.control, to).await?;
    Failpoint::Level.pass();
    Ok(())
}

async fn verify_all(
    run: &Run,
    migration: &mut Migration,
    options: &Options,
    direction: Direction,
) -> Result<()> {
    // All tables, even those that an earlier run has compared.
    for change in &migration.tables {
        let pair = pairs::load(&run.control, change, direction).await?;
        outwait_older(run, change, &pair, options).await?;
        verify(run, change, &pair).await?;
    }
    migration.advance(&run.control, phase_of(Phase::Verified, direction)).await?;
    Failpoint::Verified.pass();
    Ok(())
}

/// Brings `to` up to date, and waits for every transaction whose snapshot is older. It continues the replay meanwhile.
async fn outwait_older(run: &Run, change: &TableChange, pair: &Pair, options: &Options) -> Result<()> {
    let control = &run.control;
    run.events.began(Work::Snapshots);
    definition::check(control, &Fingerprint::prepare(control).await?, change, pair).await?;
    snapshots::outwait_older(run, change, pair, Readers::Everywhere, options.snapshots).await?;
    run.events.ended(Outcome::NoneOlder);
    Ok(())
}

/// Compares a pair and records the result, also a failed one.
pub(super) async fn verify(run: &Run, change: &TableChange, pair: &Pair) -> Result<()> {
    let control = &run.control;
    run.events.began(Work::Verify);
    let mut tries = 0;
    let found = loop {
        // If the log contains a TRUNCATE, nothing can be compared before it is replayed. Other keys in the log are
        // exempt from the comparison.
        capture::check(control, change, pair).await?;
        Crew::new(run).catch_up(pair).await?;
        replay::round(control, pair).await?;
        match comparison::verify(run, change, pair).await {
            Err(error) if error.kind == Kind::Transient && tries < 10 => {
                tries += 1;
                run.events.noted(Note::VerificationRestarts(error.message));
            }
            other => break other,
        }
    };
    let (rows, differences) = match &found {
        Ok(found) if found.differences == 0 => (Some(found.rows), Some(0)),
        Ok(found) => (None, Some(found.differences)),
        Err(_) => (None, None),
    };
    change.record_verification(control, rows, differences).await?;
    Failpoint::VerificationWritten.pass();
    let found = found?;
    found.expect_equal(pair)?;
    run.events.ended(Outcome::Equal { rows: found.rows, pending: found.pending });
    Ok(())
}

async fn swap_all(
    run: &Run,
    migration: &mut Migration,
    options: &Options,
    direction: Direction,
) -> Result<()> {
    run.events.began(match direction {
        Direction::Forward => Work::Swap,
        Direction::Reverse => Work::SwapBack,
    });
    let tables = pairs(&run.control, migration, direction).await?;
    if direction == Direction::Forward {
        for (change, _) in &tables {
            matviews::fill(&run.control, change, direction).await?;
        }
    }
    let (held, story) = swap::swap(run, migration, &tables, (options.lock, options.snapshots)).await?;
    run.events.ended(Outcome::Swapped { held, attempts: story.attempts });
    Ok(())
}

async fn pairs(
    control: &Client,
    migration: &Migration,
    direction: Direction,
) -> Result<Vec<(TableChange, Pair)>> {
    let mut tables = Vec::with_capacity(migration.tables.len());
    for change in &migration.tables {
        tables.push((change.clone(), pairs::load(control, change, direction).await?));
    }
    Ok(tables)
}

/// Validates foreign keys and drops the guard. After a swap forward, it brings the retired table up to date once.
async fn after_swap(run: &Run, migration: &Migration, options: &Options, direction: Direction) -> Result<()> {
    let side = match direction {
        Direction::Forward => Side::New,
        Direction::Reverse => Side::Original,
    };
    for change in &migration.tables {
        run.events.began(Work::Finish);
        finish::validate(run, change, side, options.lock).await?;
        let without_guard =
            finish::drop_guard(run, migration, change, options.lock, options.snapshots.timeout).await?;
        run.events.ended(Outcome::Validated { without_guard });
        if direction == Direction::Forward {
            run.events.began(Work::Reverse);
            let pair = pairs::load(&run.control, change, Direction::Reverse).await?;
            bring_level(run, change, &pair).await?;
            run.events.ended(Outcome::Level);
        }
    }
    Ok(())
}
