//! `plan`: determines what a change would do, and changes nothing.

use super::{Engine, find};
use crate::alter::TableRef;
use crate::change::Change;
use crate::error::Result;
use crate::name::Ident;
use crate::plan::risk::Risk;
use crate::plan::{Plan, risk};
use crate::preview::{Examination, check_data, examine};

impl Engine {
    /// Examines a table and determines what a change would do. Changes nothing. With `checks_data` it also reads all
    /// rows; with `takes_sample` it copies some rows and rolls that back.
    pub async fn plan(
        &self,
        table: &TableRef,
        change: &Change,
        checks_data: bool,
        takes_sample: bool,
    ) -> Result<Plan> {
        let client = self.sessions.open("plan").await?;
        let found = examine(&self.sessions, &client, table, change, takes_sample).await?;
        let mut plan = found.plan.clone();
        if checks_data {
            plan.risks.extend(self.check_data(&found, change).await?);
        }
        if let Some(open) = find::open_on_table(&client, table).await? {
            plan.risks.push(risk::open_migration(&plan.table, &open.short_id(), open.phase.as_str()));
        }
        Ok(plan)
    }

    async fn check_data(&self, found: &Examination, change: &Change) -> Result<Vec<Risk>> {
        let sessions = self.sessions.for_migration("-", &found.original.table.owner, &found.settings);
        let mut risks = check_data::of_proofs(&sessions, &found.proofs, &self.events).await?;
        if let Some(blueprint) = &found.blueprint {
            let is_given = |column: &Ident| change.reverse.iter().any(|(name, _)| name == column);
            let copied =
                check_data::of_copy_risks(&sessions, &found.original, blueprint, is_given, &self.events)
                    .await?;
            risks.extend(copied.into_iter().filter(|risk| !risks.contains(risk)).collect::<Vec<_>>());
        }
        Ok(risks)
    }
}
