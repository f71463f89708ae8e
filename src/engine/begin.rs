//! `run` with a change: records a new migration, or finds the open one for the same change.

use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::{Engine, find};
use crate::alter::TableRef;
use crate::change::{Change, Record};
use crate::error::{Error, Result};
use crate::failpoint::Failpoint;
use crate::plan::Plan;
use crate::preview::{Examination, examine};
use crate::run::made;
use crate::state::{self, Migration, NewMigration, NewTableChange, TableChange};

impl Engine {
    /// Begins the migration, or continues the open one of this table if the change is the same.
    ///
    /// # Errors
    /// [`crate::error::Kind::Usage`] if another change of this table is open.
    pub async fn begin(&self, table: &TableRef, change: &Change) -> Result<Uuid> {
        let client = self.sessions.open("begin").await?;
        state::upgrade(&client).await?;
        let asked = Record::from(change);
        if let Some(open) = find::open_on_table(&client, table).await? {
            return same_or_error(&open, &asked);
        }
        let found = examine(&self.sessions, &client, table, change, false).await?;
        refuse(&found.plan)?;
        self.write_down(&found, &asked).await
    }

    async fn write_down(&self, found: &Examination, asked: &Record) -> Result<Uuid> {
        let id = Uuid::new_v4();
        let table = &found.original.table;
        let migration = NewMigration { id, owner: table.owner.clone(), settings: found.settings.clone() };
        let short = &id.simple().to_string()[..8];
        let session = self.sessions.for_migration(short, &table.owner, &found.settings).open("begin").await?;
        if state::install(&session).await? {
            for table in state::tables(&session).await? {
                made::expect_state(&session, &table).await?;
            }
        }
        session.batch_execute("begin").await?;
        migration.insert(&session).await?;
        let fingerprint = crate::catalog::fingerprint(&session, table.oid).await?;
        let new = NewTableChange { migration: id, ordinal: 1, table, asked, fingerprint: &fingerprint };
        let change = match TableChange::insert(&session, &new).await {
            Ok(change) => change,
            Err(error) if error.is_sqlstate(&SqlState::UNIQUE_VIOLATION) => {
                session.batch_execute("rollback").await?;
                return Err(Error::failed("another run has just begun to change this table")
                    .hint("`pgrecast status` shows it."));
            }
            Err(error) => return Err(error),
        };
        state::store_steps(&session, change, &found.steps).await?;
        session.batch_execute("commit").await?;
        Failpoint::Planned.pass();
        Ok(id)
    }
}

fn same_or_error(open: &Migration, asked: &Record) -> Result<Uuid> {
    if open.tables.iter().all(|table| table.asked == *asked) {
        return Ok(open.id);
    }
    let id = open.short_id();
    let known: Vec<String> = open.tables.iter().map(|table| table.asked.shown()).collect();
    Err(Error::usage(format!("another change of {} is open: migration {id} ({})", open.shown(), open.phase))
        .because(format!("the open migration performs: {}", known.join("; ")))
        .state("nothing was changed")
        .hint(if open.phase.is_swapped() {
            format!("Run `pgrecast cleanup {id}` to keep that change, or `pgrecast rollback {id}`.")
        } else {
            format!("Run `pgrecast run {id}` to continue it, or `pgrecast abort {id}` to undo it.")
        }))
}

/// The error for a plan with refusals.
///
/// # Errors
/// [`crate::error::Kind::Refused`] with all of them.
pub fn refuse(plan: &Plan) -> Result<()> {
    let Some(first) = plan.refusals.first() else { return Ok(()) };
    let lines = plan.refusals.iter().map(|refusal| {
        let hint = refusal.hint.as_ref().map(|hint| format!(" {hint}")).unwrap_or_default();
        format!("{} {}: {}.{hint}", refusal.code, refusal.object, refusal.message)
    });
    Err(Error::refused(first.code, format!("{} cannot be changed this way", plan.table))
        .lines(lines)
        .state("nothing was changed"))
}
