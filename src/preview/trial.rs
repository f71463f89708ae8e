//! Tries a change on an empty clone that has everything the table has: what each action would do to the rows if
//! PostgreSQL ran it directly, and whether there are steps that lead to the same definition without reading rows under
//! a lock that blocks the application. It measures this with the clone's file node and the server's counters of scans.
//!
//! The caller rolls all of it back.

use tokio_postgres::Client;

use crate::alter::{Action, ActionKind, Alter, AlterStatement, LockMode};
use crate::catalog::{Definition, ForeignKey, Shape, find_name, find_table};
use crate::error::{Code, Error, Kind, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::class::{Class, Cost};
use crate::plan::finding::{Trial, Tried};
use crate::plan::in_place::{How, Proof, Step, drop_index, go_on, locked_too, recipe};
use crate::plan::shadow::Place;
use crate::shadow;
use crate::shadow::parents::Parents;

/// Tries the change in the open transaction of `client`, as the table's owner. `None`: single actions cannot be tried,
/// so the change needs a copy.
pub(super) async fn try_out(
    client: &Client,
    original: &Definition,
    place: &Place,
    alter: &Alter,
) -> Result<Option<Trial>> {
    if alter.statements.is_empty() {
        return Ok(None);
    }
    client.batch_execute("savepoint pgrecast_trial").await?;
    let tried = on_clone(client, original, place, alter).await;
    client.batch_execute("rollback to savepoint pgrecast_trial; release savepoint pgrecast_trial").await?;
    tried
}

async fn on_clone(
    client: &Client,
    original: &Definition,
    place: &Place,
    alter: &Alter,
) -> Result<Option<Trial>> {
    let columns = shadow::Columns::default();
    let clone = match shadow::furnished(client, original, place, alter, columns).await {
        Err(error) if error.kind == Kind::Refused => return Ok(None), // as the copy will say
        made => made?,
    };
    let scene = Scene { client, original, place, parents: clone.parents, oid: clone.oid };
    let (_, is_counted) = scene.meter().await?;
    if !is_counted {
        return Ok(None);
    }
    client.batch_execute("savepoint pgrecast_start").await?;
    let mut found = Found::default();
    for statement in &alter.statements {
        for action in &statement.actions {
            scene.expect_known_name(action).await?;
            if !scene.act(action, &mut found).await? {
                return Ok(None);
            }
        }
    }
    let mut trial = Trial { actions: found.actions, steps: None, proofs: found.proofs };
    if trial.actions.iter().all(|tried| tried.class != Class::Copy) {
        let steps = scene.steps(
            alter,
            Parts {
                before: found.before,
                last: found.last,
                go_on: found.go_on,
                drops: found.after,
                locks: found.locks,
            },
        );
        if scene.prove(alter, &steps).await? {
            trial.steps = Some(steps.real);
        }
    }
    if trial.steps.is_none() {
        for tried in &mut trial.actions {
            tried.class = Class::Copy;
        }
    }
    Ok(Some(trial))
}

/// The results for the single actions.
#[derive(Default)]
struct Found {
    actions: Vec<Tried>,
    proofs: Vec<Proof>,
    /// Steps before the last one, for the real table and for the clone.
    before: Vec<(Step, Step)>,
    /// Steps that cannot be undone, after all others.
    after: Vec<(Step, Step)>,
    /// The statements of the last step, also for both.
    last: Vec<(String, String)>,
    /// The statements that follow them in the last step, in the same form.
    go_on: Vec<(String, String)>,
    /// For each action in the last step, its lock and the foreign keys to other tables.
    locks: Vec<(LockMode, Vec<ForeignKey>)>,
    /// The new names of renamed columns, with the old ones.
    renamed: Vec<(Ident, Ident)>,
}

/// Steps with the real names, and with those of the clone.
struct Steps {
    real: Vec<Step>,
    clone: Vec<Step>,
}

struct Scene<'a> {
    client: &'a Client,
    original: &'a Definition,
    place: &'a Place,
    parents: Parents,
    oid: u32,
}

/// A file node and a number of scans.
type Meter = (Option<u32>, i64);

/// The parts of the steps, each for the table and for the clone.
struct Parts {
    /// Steps before all others.
    before: Vec<(Step, Step)>,
    /// Statements of the one step under a lock.
    last: Vec<(String, String)>,
    /// The statements that follow them in that step.
    go_on: Vec<(String, String)>,
    /// Indexes to drop afterwards.
    drops: Vec<(Step, Step)>,
    /// The locks of those statements, with the foreign keys whose other tables they lock.
    locks: Vec<(LockMode, Vec<ForeignKey>)>,
}

impl Scene<'_> {
    async fn meter(&self) -> Result<(Meter, bool)> {
        let schemas = [self.place.shadow.schema.to_string(), self.place.scratch.to_string()];
        let row = self
            .client
            .query_one(&sql!("preview/read_cost.sql").text(), &[&self.oid, &schemas[0], &schemas[1]])
            .await?;
        Ok(((row.try_get("filenode")?, row.try_get("scans")?), row.try_get("is_counted")?))
    }

    /// Runs statements on the clone. The inner error means that the server does not accept a statement.
    async fn run(&self, statements: &[String]) -> Result<std::result::Result<Cost, Error>> {
        let (before, _) = self.meter().await?;
        for statement in statements {
            tracing::debug!(statement, "trial");
            if let Err(error) = self.client.batch_execute(statement).await {
                let error = Error::from(error);
                return if error.sqlstate.is_some() { Ok(Err(error)) } else { Err(error) };
            }
        }
        let (after, _) = self.meter().await?;
        Ok(Ok(Cost { reads_rows: after.1 != before.1, rewrites: after.0 != before.0 }))
    }

    fn on_clone(&self, statement: &AlterStatement) -> String {
        statement.sql_with(&self.place.shadow, |written| self.parents.stand_in(written)).to_string()
    }

    /// The real table for a stand-in of the clone.
    fn real(&self, table: &QualifiedName) -> QualifiedName {
        let stand_ins = self.place.stand_ins(self.original);
        stand_ins.get(table).or_else(|| self.parents.real().get(table)).unwrap_or(table).clone()
    }

    /// Runs one action separately and observes what it does. `false`: it cannot run separately.
    async fn act(&self, action: &Action, found: &mut Found) -> Result<bool> {
        let statement = AlterStatement { actions: vec![action.clone()] };
        let drops = self.index_to_drop(action).await?;
        if self.is_dropped_before(action, found).await? {
            // The table cannot have both indexes at once, and queries that need the old one would be slow.
            return Ok(false);
        }
        self.expect_new_index(action).await?;
        let before = Definition::read(self.client, self.oid).await?;
        let cost = match self.run(&[self.on_clone(&statement)]).await? {
            Ok(cost) => cost,
            Err(error) if matches!(action.kind, ActionKind::InPlaceOnly { .. }) => {
                let words = format!("PostgreSQL does not accept the action: {}", action.text);
                return Err(error.context(words).refused_as(Code::NotAccepted).state("nothing was changed"));
            }
            Err(_) => return Ok(false),
        };
        self.expect_free_name(action).await?;
        let after = Definition::read(self.client, self.oid).await?;
        let obstacle = self.obstacle(action, cost, &found.renamed).await?;
        if let ActionKind::RenameColumn { from, to } = &action.kind {
            found.renamed.push((to.clone(), from.clone()));
        }
        let mut tried = Tried { class: Class::Copy, cost, lock: action.lock, obstacle };
        if tried.obstacle.is_some() {
            // The server would refuse the action on the table itself.
        } else if let Some((index, oid)) = drops {
            tried.class = Class::Staged;
            let at = |table: &QualifiedName| QualifiedName { name: index.clone(), ..table.clone() };
            let (real, clone) = (at(&self.original.table.name), at(&self.place.shadow));
            found.after.push((drop_index(&real, oid), drop_index(&clone, oid)));
        } else if cost.is_none() {
            tried.class = Class::Instant;
            let real = statement.sql(&self.original.table.name).to_string();
            found.last.push((real, self.on_clone(&statement)));
            found.locks.push((action.lock, locked_too(action, &before, &after)));
            let go_on = |table| go_on(self.original, &before, &after, table);
            found.go_on.extend(go_on(&self.original.table.name).into_iter().zip(go_on(&self.place.shadow)));
        } else if cost.rewrites {
            // No steps.
        } else if let Some(real) = recipe(&before, &after, |table| self.real(table))
            && let Some(clone) = recipe(&before, &after, Clone::clone)
            && self.are_free(&real.before).await?
        {
            tried.class = Class::Staged;
            tried.lock = strongest(&real.before, !real.last.is_empty());
            if !real.last.is_empty() {
                found.locks.push((LockMode::AccessExclusive, Vec::new()));
            }
            found.proofs.extend(real.proofs);
            found.before.extend(real.before.into_iter().zip(clone.before));
            found.last.extend(real.last.into_iter().zip(clone.last));
        }
        found.actions.push(tried);
        Ok(true)
    }

    /// The index of this table that the action drops: the one that its name means in this session.
    async fn index_to_drop(&self, action: &Action) -> Result<Option<(Ident, u32)>> {
        let ActionKind::DropIndex { index, if_exists } = &action.kind else { return Ok(None) };
        let oid = find_table(self.client, &index.to_string()).await?;
        let is_ours = |known: &&crate::catalog::Index| Some(known.oid) == oid;
        match self.original.indexes.iter().find(is_ours) {
            Some(known) => Ok(Some((known.name.name.clone(), known.oid))),
            None if oid.is_none() && *if_exists => Ok(None),
            None => {
                let table = self.original.table.name.shown();
                let what = if oid.is_none() {
                    "does not exist".to_owned()
                } else {
                    format!("is not one of {table}")
                };
                Err(Error::usage(format!("index {index} {what}")).state("nothing was changed"))
            }
        }
    }

    /// After RENAME TO or SET SCHEMA, no action can use the planned name.
    async fn expect_known_name(&self, action: &Action) -> Result<()> {
        if find_name(self.client, self.oid).await?.as_ref() == Some(&self.place.shadow) {
            return Ok(());
        }
        let message = format!("the table already has another name when this action runs: {}", action.text);
        Err(Error::refused(Code::AfterRename, message)
            .state("nothing was changed")
            .hint("Put RENAME TO or SET SCHEMA last, and only one of them. Run the other one separately."))
    }

    /// Checks that no relation has the new name of the table.
    async fn expect_free_name(&self, action: &Action) -> Result<()> {
        let ActionKind::InPlaceOnly { is_name: true, .. } = &action.kind else { return Ok(()) };
        let Some(now) = find_name(self.client, self.oid).await? else { return Ok(()) };
        let original = &self.original.table.name;
        let schema = if now.schema == self.place.shadow.schema { &original.schema } else { &now.schema };
        let wanted = now.in_schema(schema);
        let found = find_table(self.client, &wanted.to_string()).await?;
        if wanted == *original || found.is_none() || found == Some(self.oid) {
            return Ok(());
        }
        let message = format!("relation {} already exists", wanted.shown());
        Err(Error::refused(Code::NameTaken, message)
            .about(wanted.shown())
            .state("nothing was changed")
            .hint("Drop or rename it first."))
    }

    /// Whether it creates an index with the name of one that an earlier action drops.
    async fn is_dropped_before(&self, action: &Action, found: &Found) -> Result<bool> {
        let ActionKind::CreateIndex { name: Some(name) } = &action.kind else { return Ok(false) };
        let here = QualifiedName { name: name.clone(), ..self.original.table.name.clone() };
        let known = find_table(self.client, &here.to_string()).await?;
        Ok(found.after.iter().any(|(step, _)| matches!(step.how, How::DropIndex(oid) if Some(oid) == known)))
    }

    /// The server checks the name of the new index only after it has locked the table against writers. So it is checked
    /// here.
    async fn expect_new_index(&self, action: &Action) -> Result<()> {
        let ActionKind::CreateIndex { name: Some(name) } = &action.kind else { return Ok(()) };
        let here = QualifiedName { name: name.clone(), ..self.original.table.name.clone() };
        if find_table(self.client, &here.to_string()).await?.is_none() {
            return Ok(());
        }
        Err(Error::usage(format!("relation {} already exists", here.shown()))
            .state("nothing was changed")
            .hint("Give the index another name, or drop that relation."))
    }

    /// An object that uses a column whose type the change alters in place, or that it drops.
    async fn obstacle(
        &self,
        action: &Action,
        cost: Cost,
        renamed: &[(Ident, Ident)],
    ) -> Result<Option<String>> {
        let mut column = match &action.kind {
            ActionKind::SetType { column, .. } if !cost.rewrites => column,
            ActionKind::DropColumn { name } => name,
            _ => return Ok(None),
        };
        for (to, from) in renamed.iter().rev() {
            column = if column == to { from } else { column };
        }
        let rows = self
            .client
            .query(
                &sql!("preview/list_column_users.sql").text(),
                &[&self.original.table.oid, &column.as_str()],
            )
            .await?;
        rows.first().map(|row| Ok(row.try_get("user_name")?)).transpose()
    }

    /// Whether the names of the new indexes are free in the table's schema.
    async fn are_free(&self, steps: &[Step]) -> Result<bool> {
        for step in steps {
            if let How::MakeIndex(index) = &step.how {
                let here = QualifiedName { name: index.clone(), ..self.original.table.name.clone() };
                if find_table(self.client, &here.to_string()).await?.is_some() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn steps(&self, alter: &Alter, parts: Parts) -> Steps {
        let Parts { before, last, go_on, drops, locks } = parts;
        let (mut real, mut clone): (Vec<Step>, Vec<Step>) = before.into_iter().unzip();
        if !last.is_empty() {
            let (mut on_real, mut on_clone): (Vec<String>, Vec<String>) = last.into_iter().unzip();
            if real.is_empty() && drops.is_empty() {
                // As the user wrote it: one statement stays one.
                on_real =
                    alter.statements.iter().map(|s| s.sql(&self.original.table.name).to_string()).collect();
                on_clone = alter.statements.iter().map(|s| self.on_clone(s)).collect();
            }
            let (on_table, on_its_clone): (Vec<String>, Vec<String>) = go_on.into_iter().unzip();
            on_real.extend(on_table);
            on_clone.extend(on_its_clone);
            let how = self.under_locks(&locks);
            real.push(Step { how: how.clone(), statements: on_real });
            clone.push(Step { how, statements: on_clone });
        }
        let (on_real, on_clone): (Vec<Step>, Vec<Step>) = drops.into_iter().unzip();
        real.extend(on_real);
        clone.extend(on_clone);
        Steps { real, clone }
    }

    fn under_locks(&self, locks: &[(LockMode, Vec<ForeignKey>)]) -> How {
        let (mut mode, mut leading, mut following) = (LockMode::ShareUpdateExclusive, Vec::new(), Vec::new());
        for (one, keys) in locks {
            mode = mode.max(*one);
            for key in keys {
                let (child, parent) = (self.real(&key.child), self.real(&key.parent));
                if child == self.original.table.name {
                    following.push(parent);
                } else {
                    leading.push(child);
                }
            }
        }
        for list in [&mut leading, &mut following] {
            list.sort();
            list.dedup();
        }
        following.retain(|table| !leading.contains(table));
        How::UnderLock { mode, leading, following, makes: None }
    }

    /// Whether the steps lead to the same definition as the user's statements, and those under a lock read no rows.
    async fn prove(&self, alter: &Alter, steps: &Steps) -> Result<bool> {
        const AGAIN: &str = "rollback to savepoint pgrecast_start";
        self.client.batch_execute(AGAIN).await?;
        let shape = Shape::prepare(self.client).await?;
        let written: Vec<String> =
            alter.statements.iter().map(|statement| self.on_clone(statement)).collect();
        if self.run(&written).await?.is_err() {
            return Ok(false);
        }
        let wanted = shape.of(self.client, self.oid).await?;
        self.client.batch_execute(AGAIN).await?;
        for step in &steps.clone {
            let Ok(cost) = self.run(&step.on_clone()).await? else { return Ok(false) };
            let is_light = cost.is_none() || !matches!(step.how, How::UnderLock { .. });
            if !is_light || cost.rewrites {
                return Ok(false);
            }
        }
        Ok(shape.of(self.client, self.oid).await? == wanted)
    }
}

/// The strongest lock of the steps.
fn strongest(steps: &[Step], has_last: bool) -> LockMode {
    let modes = steps.iter().map(|step| match &step.how {
        How::UnderLock { mode, .. } => *mode,
        How::Online | How::MakeIndex(_) | How::DropIndex(_) => LockMode::ShareUpdateExclusive,
    });
    let last = has_last.then_some(LockMode::AccessExclusive);
    modes.chain(last).max().unwrap_or(LockMode::ShareUpdateExclusive)
}
