//! `abort` and `cleanup`: end a migration, and drop everything that it created.

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
    /// Undoes a migration before its swap and drops everything that it created.
    pub async fn abort(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |run: &Run, options: &Options| {
            let mut migration = Migration::load(&run.control, id).await?;
            if !migration.phase.is_before_swap() {
                let hint = match migration.phase {
                    phase if phase.is_swapped() => {
                        "Run `pgrecast rollback` to undo the change, or `pgrecast cleanup` to keep it."
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
                    return Err(Error::usage("the change is complete: only indexes remain to be dropped")
                        .because("dropping an index cannot be undone")
                        .hint(format!("Run `pgrecast run {}` to finish.", migration.short_id())));
                }
                in_place::undo(run, change, options.lock).await?;
            }
            take_away(run, &mut migration, Some(Phase::Aborted), options).await
        })
        .await
    }

    /// Drops the table that a swapped or rolled-back migration keeps.
    pub async fn cleanup(&self, id: Uuid, stop: impl Future<Output = ()>) -> Result<()> {
        self.lead(id, stop, async |run: &Run, options: &Options| {
            let mut migration = Migration::load(&run.control, id).await?;
            let to = match migration.phase {
                phase if phase.is_swapped() => Some(Phase::Finished),
                phase if !phase.is_open() => None,
                phase => {
                    return Err(Error::usage(format!(
                        "migration {} is {phase}: it is not swapped yet",
                        migration.short_id()
                    ))
                    .hint(format!(
                        "Run `pgrecast run {0}` to continue, or `pgrecast abort {0}` to undo.",
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

/// Drops our triggers. Then, in one transaction, drops everything else of ours and sets the last phase, if it is not
/// set yet.
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
