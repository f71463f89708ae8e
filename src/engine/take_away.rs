//! `abort` and `cleanup`: the end of a migration, and of everything of ours.

use std::future::Future;

use uuid::Uuid;

use super::{Engine, Options};
use crate::error::{Error, Result};
use crate::failpoint::Failpoint;
use crate::plan::Side;
use crate::run::Run;
use crate::state::{Migration, Phase};
use crate::swap::finish;
use crate::{cleanup, in_place};

impl Engine {
    /// Gives a migration up before its swap and takes everything of it away.
    pub async fn abort(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |run: &Run, options: &Options| {
            let mut migration = Migration::load(&run.control, id).await?;
            if !migration.phase.is_before_swap() {
                let hint = match migration.phase {
                    phase if phase.is_swapped() => {
                        "Run `pgrecast rollback` to go back, or `pgrecast cleanup` to keep the change."
                    }
                    _ => "There is nothing left to abort.",
                };
                return Err(Error::usage(format!(
                    "migration {} is {}",
                    migration.short_id(),
                    migration.phase
                ))
                .hint(hint));
            }
            for change in &migration.tables {
                if in_place::is_final(&run.control, change).await? {
                    return Err(Error::usage("the change is made: what is left is to drop indexes")
                        .because("a dropped index cannot be taken back")
                        .hint(format!("Run `pgrecast run {}` to finish.", migration.short_id())));
                }
                in_place::undo(run, change, options.lock).await?;
            }
            take_away(run, &mut migration, Some(Phase::Aborted), options).await
        })
        .await
    }

    /// Drops what a swapped or rolled back migration keeps for the way back.
    pub async fn cleanup(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |run: &Run, options: &Options| {
            let mut migration = Migration::load(&run.control, id).await?;
            let to = match migration.phase {
                phase if phase.is_swapped() => Some(Phase::Finished),
                phase if !phase.is_open() => None,
                phase => {
                    return Err(Error::usage(format!(
                        "migration {} is {phase}: it was not swapped yet",
                        migration.short_id()
                    ))
                    .hint(format!(
                        "Run `pgrecast run {0}` to go on, or `pgrecast abort {0}`.",
                        migration.short_id()
                    )));
                }
            };
            if to.is_some() {
                for change in &migration.tables {
                    finish::validate(run, change, Side::New, options.lock).await?;
                }
            }
            take_away(run, &mut migration, to, options).await
        })
        .await
    }
}

/// Takes our triggers off, then drops what is ours and moves on to the last phase, if it is not there yet, in one
/// transaction.
async fn take_away(run: &Run, migration: &mut Migration, to: Option<Phase>, options: &Options) -> Result<()> {
    let control = &run.control;
    for change in &migration.tables {
        cleanup::triggers(run, migration, change, options.lock).await?;
        Failpoint::TriggersOff.pass();
    }
    control.batch_execute("begin").await?;
    for change in &migration.tables {
        if let Err(error) = cleanup::objects(control, change).await {
            control.batch_execute("rollback").await?;
            return Err(error);
        }
    }
    if let Some(to) = to {
        migration.advance(control, to).await?;
    }
    Failpoint::ObjectsDropped.pass();
    control.batch_execute("commit").await?;
    Failpoint::TakenAway.pass();
    Ok(())
}
