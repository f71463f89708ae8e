//! Tries a change out on an empty clone that carries everything the table has on it: what each action would do to the
//! rows if it were run as it stands, and whether there are steps that lead to the very same definition without
//! reading rows under a lock that blocks the application. Believes nothing: looks at the clone's file and at the
//! server's own count of scans.
//!
//! All of it is undone in the caller's transaction.

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

/// Tries it out in the transaction that is open on `client`, under the table's owner. `None`: nothing can be said about
/// single actions, so it has to be a copy.
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
    let (oid, parents) = match shadow::furnished(client, original, place, alter, &[]).await {
        Err(error) if error.kind == Kind::Refused => return Ok(None), // as the copy will say
        made => made?,
    };
    let scene = Scene { client, original, place, parents, oid };
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

/// What the single actions come to.
#[derive(Default)]
struct Found {
    actions: Vec<Tried>,
    proofs: Vec<Proof>,
    /// Steps before the last one, each on the real table and on the clone.
    before: Vec<(Step, Step)>,
    /// Steps that nothing takes back, after all others.
    after: Vec<(Step, Step)>,
    /// What the last step runs, likewise.
    last: Vec<(String, String)>,
    /// What it runs after these, likewise.
    go_on: Vec<(String, String)>,
    /// For each action that is in the last step its lock, with the keys to other tables.
    locks: Vec<(LockMode, Vec<ForeignKey>)>,
    /// Columns under their new names, with those before.
    renamed: Vec<(Ident, Ident)>,
}

/// Steps under the real names, and the same on the clone.
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

/// A file and a number of scans.
type Meter = (Option<u32>, i64);

/// What steps are made of; each on the table and on the clone.
struct Parts {
    /// Steps before all others.
    before: Vec<(Step, Step)>,
    /// Statements of the one step under a lock.
    last: Vec<(String, String)>,
    /// Statements that follow these in it.
    go_on: Vec<(String, String)>,
    /// Indexes to be dropped afterwards.
    drops: Vec<(Step, Step)>,
    /// The locks that those statements take, with foreign keys whose other tables they lock.
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

    /// Runs statements on the clone. The inner error: the server does not accept one.
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

    /// The real table behind one of the clone's surroundings.
    fn real(&self, table: &QualifiedName) -> QualifiedName {
        let stand_ins = self.place.stand_ins(self.original);
        stand_ins.get(table).or_else(|| self.parents.real().get(table)).unwrap_or(table).clone()
    }

    /// Runs an action by itself and sees what it does. `false`: it can not be run by itself.
    async fn act(&self, action: &Action, found: &mut Found) -> Result<bool> {
        let statement = AlterStatement { actions: vec![action.clone()] };
        let drops = self.index_to_drop(action).await?;
        self.expect_new_index(action).await?;
        let before = Definition::read(self.client, self.oid).await?;
        let cost = match self.run(&[self.on_clone(&statement)]).await? {
            Ok(cost) => cost,
            Err(error) if matches!(action.kind, ActionKind::InPlaceOnly { .. }) => {
                let words = format!("PostgreSQL does not accept it: {}", action.text);
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
            // The server would refuse it on the table itself.
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

    /// The index of this table that the action drops: the very one that its name means in this session.
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

    /// After RENAME TO and SET SCHEMA nothing can be done by the name that was planned for.
    async fn expect_known_name(&self, action: &Action) -> Result<()> {
        if find_name(self.client, self.oid).await?.as_ref() == Some(&self.place.shadow) {
            return Ok(());
        }
        let message = format!("the table has another name by then: {}", action.text);
        Err(Error::refused(Code::AfterRename, message)
            .state("nothing was changed")
            .hint("Put RENAME TO or SET SCHEMA last, and only one of them; the other in a run of its own."))
    }

    /// What has the name already that the table is to have.
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
        let message = format!("a relation {} exists already", wanted.shown());
        Err(Error::refused(Code::NameTaken, message)
            .about(wanted.shown())
            .state("nothing was changed")
            .hint("Drop or rename it first."))
    }

    /// The server looks for an index of the name that is written only after it has locked the table against writers.
    async fn expect_new_index(&self, action: &Action) -> Result<()> {
        let ActionKind::CreateIndex { name: Some(name) } = &action.kind else { return Ok(()) };
        let here = QualifiedName { name: name.clone(), ..self.original.table.name.clone() };
        if find_table(self.client, &here.to_string()).await?.is_none() {
            return Ok(());
        }
        Err(Error::usage(format!("there is a relation {} already", here.shown()))
            .state("nothing was changed")
            .hint("Give the index another name, or drop what has this one."))
    }

    /// What reads a column whose type is to be changed in place, or that is to be dropped.
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

    /// Whether the names of indexes to be made are free where the table is.
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
                // As written: one statement stays one.
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

    /// Whether the steps lead to the same definition as what was written, and those under a lock read no row.
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

/// The strongest lock that steps take.
fn strongest(steps: &[Step], has_last: bool) -> LockMode {
    let modes = steps.iter().map(|step| match &step.how {
        How::UnderLock { mode, .. } => *mode,
        How::Online | How::MakeIndex(_) | How::DropIndex(_) => LockMode::ShareUpdateExclusive,
    });
    let last = has_last.then_some(LockMode::AccessExclusive);
    modes.chain(last).max().unwrap_or(LockMode::ShareUpdateExclusive)
}
