//! Views, rules, policies, functions and publications name the table by its oid. Each gets statements that make it
//! name the new table in the swap, and the former one on the way back.
//!
//! What the statements are, and whether they will work, the server is asked: everything is made once on copies in
//! scratch schemas, inside a savepoint that is rolled back. Nothing that the application uses is touched.
//! Run twice: the scratch schemas are the caller's, new each time. Killed midway: the transaction never was.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Client;

use super::search_path;
use crate::alter::{redirect, retarget};
use crate::catalog::{Attached, Definition, Index, Referrer, View};
use crate::error::{Error, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::dependents::{self, Dependent, Kind};
use crate::plan::shadow::Place;

/// What becomes of the original's columns: the new name of each, or none where it is dropped.
pub type NewNames = Vec<(Ident, Option<Ident>)>;

/// Everything that names the table from elsewhere, of both shapes. The shadow must be there in its new shape,
/// with its indexes.
///
/// # Errors
/// [`crate::error::Kind::Refused`] for what can not be made to name the new table, by name.
pub async fn carry(
    client: &Client,
    original: &Definition,
    place: &Place,
    names: &NewNames,
) -> Result<Vec<Dependent>> {
    client.batch_execute(&format!("savepoint pgrecast_referrers; {}", search_path::EMPTY)).await?;
    let list = carry_all(client, original, place, names).await?;
    // All that was made was made to learn from it.
    client.batch_execute("rollback to savepoint pgrecast_referrers").await?;
    Ok(list)
}

async fn carry_all(
    client: &Client,
    original: &Definition,
    place: &Place,
    names: &NewNames,
) -> Result<Vec<Dependent>> {
    let table = &original.table;
    let views = View::list(client, &[table.oid]).await?;
    let others = Referrer::list(client, &[table.oid]).await?;
    if views.is_empty() && others.is_empty() {
        return Ok(Vec::new());
    }
    check_columns(client, original, names).await?;
    let is_renamed = names.iter().any(|(old, new)| Some(old) != new.as_ref());
    let queries = if is_renamed {
        renamed_queries(client, original, place, &views, names).await?
    } else {
        HashMap::new()
    };

    let mut stage = Stage::new(client, place, "new");
    stage.places.insert(table.name.clone(), place.shadow.clone());
    let mut changing = vec![table.oid];
    // Materialized views are exchanged: what stands on one need not go meanwhile.
    let mut kept = Vec::new();
    let mut aside = HashMap::from([(table.name.clone(), place.shadow.clone())]);
    let mut list = Vec::new();
    for view in &views {
        if !view.sources.iter().any(|source| changing.contains(source)) {
            continue;
        }
        check_view(view, &table.owner)?;
        let new =
            View { definition: queries.get(&view.name).unwrap_or(&view.definition).clone(), ..view.clone() };
        let mirror = stage.mirror_view(&new).await?;
        let columns: Vec<String> = client
            .query_one(&sql!("referrer/list_columns.sql").text(), &[&mirror.to_string()])
            .await?
            .try_get("columns")?;
        let role = Some(view.owner.clone()).filter(|owner| *owner != table.owner);
        // Nothing may stand on a view while it is dropped.
        let is_made_anew = |oid: &u32| changing[1..].contains(oid) && !kept.contains(oid);
        let is_same = columns == view.columns && !view.sources.iter().any(is_made_anew);
        if view.is_materialized && view.sources.iter().any(is_made_anew) {
            return Err(refused(
                &format!("materialized view {}", view.name.shown()),
                "it reads a view whose columns change their types with the table's",
            ));
        }
        if view.is_materialized {
            let here = view.name.in_schema(&place.shadow.schema);
            if aside.values().any(|taken| *taken == here) {
                return Err(refused(
                    &format!("materialized view {}", view.name.shown()),
                    "it has the name of another one that reads the table, or of the table",
                ));
            }
            aside.insert(view.name.clone(), here.clone());
            let statements = stage.materialized(&new, &here, &aside).await?;
            let refresh = |name: &QualifiedName| {
                let populated = format!("refresh materialized view {name}; analyze {name}");
                Vec::from_iter(view.is_populated.then_some(populated))
            };
            let retired = view.name.in_schema(&place.retired);
            let create = [refresh(&retired), [statements, refresh(&here)].concat()];
            list.extend(dependents::referrer(
                Kind::MaterializedView,
                &view.name.name,
                &view.name,
                None,
                create,
                None,
            ));
            changing.push(view.oid);
            kept.push(view.oid);
            continue;
        }
        let (words, drop) = if is_same {
            ("create or replace view", None)
        } else {
            ("create view", Some(format!("drop view {}", view.name)))
        };
        let mut create = [view, &new].map(|view| vec![view.create(words)]);
        if !is_same {
            changing.push(view.oid);
            let furniture = view.furniture(client).await?;
            create.iter_mut().for_each(|statements| statements.extend(furniture.clone()));
        }
        list.extend(dependents::referrer(Kind::View, &view.name.name, &view.name, role, create, drop));
    }
    for oid in &changing[1..] {
        if let Some(object) = Attached::list(client, *oid).await?.first() {
            return Err(refused(
                &format!("{} {}", object.kind, object.name),
                "it depends on a view whose columns change their types with the table's",
            ));
        }
    }
    list.extend(carry_others(client, original, place, &mut stage, &changing, names).await?);
    Ok(list)
}

/// Rules, policies, functions and publications.
async fn carry_others(
    client: &Client,
    original: &Definition,
    place: &Place,
    stage: &mut Stage<'_>,
    changing: &[u32],
    names: &NewNames,
) -> Result<Vec<Dependent>> {
    let table = &original.table;
    let others = Referrer::list(client, changing).await?;
    // What names a view that is made anew has to be gone while the view is.
    let of_views: HashSet<String> = match &changing[1..] {
        [] => HashSet::new(),
        views => Referrer::list(client, views).await?.into_iter().map(|other| other.shown).collect(),
    };
    for other in &others {
        check_other(other)?;
    }
    let new = if names.iter().any(|(old, new)| Some(old) != new.as_ref()) {
        renamed_others(client, original, place, &others, names).await?
    } else {
        others.clone()
    };
    for other in &new {
        stage.mirror_other(other, &table.owner).await?;
    }
    stage.expect_no_other(changing).await?;
    let mut list = Vec::new();
    for (old, new) in others.iter().zip(&new) {
        let kind = Kind::parse(&old.kind)
            .ok_or_else(|| Error::failed(format!("{} is of an unknown kind {:?}", old.shown, old.kind)))?;
        let role = old.role.clone().filter(|role| *role != table.owner);
        let on = old.table.as_ref().unwrap_or(&table.name);
        let name = &old.name.name;
        let changed = old.change.clone().zip(new.change.clone()).filter(|_| !of_views.contains(&old.shown));
        list.extend(match changed {
            Some((old, new)) => dependents::referrer(kind, name, on, role, [old, new], None),
            None => dependents::referrer(
                kind,
                name,
                on,
                role,
                [old.make.clone(), new.make.clone()],
                Some(old.drop.clone()),
            ),
        });
    }
    Ok(list)
}

/// The queries of views after the rename, by view: the server renames the columns of a copy of the table on
/// which copies of the views stand, and writes them down again.
async fn renamed_queries(
    client: &Client,
    original: &Definition,
    place: &Place,
    views: &[View],
    names: &NewNames,
) -> Result<HashMap<QualifiedName, String>> {
    let mut stage = Stage::new(client, place, "old");
    let copy = stage.copy_table(&original.table.name).await?;
    for view in views {
        stage.mirror_view(view).await?;
    }
    rename(client, &copy, names).await?;
    let oid = crate::catalog::find_table(client, &copy.to_string()).await?.unwrap_or_default();
    let back = stage.back();
    let queries = View::list(client, &[oid])
        .await?
        .into_iter()
        .filter_map(|view| {
            let name = back.get(&view.name)?.clone();
            Some((name, redirect(&view.definition, &back).to_string()))
        })
        .collect();
    Ok(queries)
}

/// The same for rules and policies. (Functions and publications that name a renamed column are refused.)
async fn renamed_others(
    client: &Client,
    original: &Definition,
    place: &Place,
    others: &[Referrer],
    names: &NewNames,
) -> Result<Vec<Referrer>> {
    let is_renamed = |other: &&Referrer| matches!(other.kind.as_str(), "rule" | "policy");
    let mut stage = Stage::new(client, place, "before");
    let copy = stage.copy_table(&original.table.name).await?;
    for other in others.iter().filter(is_renamed) {
        stage.mirror_other(other, &original.table.owner).await?;
    }
    rename(client, &copy, names).await?;
    let oid = crate::catalog::find_table(client, &copy.to_string()).await?.unwrap_or_default();
    let back = stage.back();
    let made = Referrer::list(client, &[oid]).await?;
    let new = others
        .iter()
        .map(|other| {
            let is_it = |made: &&Referrer| {
                let table = made.table.as_ref().and_then(|table| back.get(table));
                made.kind == other.kind && made.name.name == other.name.name && table == other.table.as_ref()
            };
            let Some(found) = made.iter().find(is_it).filter(|_| is_renamed(&other)) else {
                return other.clone();
            };
            let redirected = |statements: &[String]| {
                statements.iter().map(|text| redirect(text, &back).to_string()).collect::<Vec<_>>()
            };
            let mut new = other.clone();
            // What follows the first statement names no column.
            new.make.splice(..1, redirected(&found.make[..1]));
            // On the copy's side each of them is its own table's or another's as here.
            new.change = found.change.as_ref().map(|change| redirected(change));
            new
        })
        .collect();
    Ok(new)
}

/// Takes a copy's columns off and renames them, as the change does: two may exchange their names.
async fn rename(client: &Client, copy: &QualifiedName, names: &NewNames) -> Result<()> {
    let passing = |n: usize| Ident::new(format!("pgrecast passing {n}"));
    let (mut first, mut then) = (String::new(), String::new());
    for (n, (old, new)) in names.iter().enumerate() {
        match new {
            None => first.push_str(&format!("alter table {copy} drop column {old};")),
            Some(new) if new == old => {}
            Some(new) => {
                first.push_str(&format!("alter table {copy} rename {old} to {};", passing(n)));
                then.push_str(&format!("alter table {copy} rename {} to {new};", passing(n)));
            }
        }
    }
    Ok(client.batch_execute(&format!("{first}{then}")).await?)
}

/// Copies in scratch schemas, one for each relation so that each keeps its name, and what stands for what.
struct Stage<'a> {
    client: &'a Client,
    prefix: String,
    places: HashMap<QualifiedName, QualifiedName>,
    schemas: Vec<Ident>,
}

impl<'a> Stage<'a> {
    fn new(client: &'a Client, place: &Place, what: &str) -> Self {
        let prefix = format!("{}_{what}", place.scratch.as_str());
        Stage { client, prefix, places: HashMap::new(), schemas: Vec::new() }
    }

    async fn place_of(&mut self, real: &QualifiedName) -> Result<QualifiedName> {
        let schema = Ident::new(format!("{}_{}", self.prefix, self.schemas.len()));
        self.client.batch_execute(&format!("create schema {schema}")).await?;
        let place = real.in_schema(&schema);
        self.schemas.push(schema);
        self.places.insert(real.clone(), place.clone());
        Ok(place)
    }

    async fn copy_table(&mut self, real: &QualifiedName) -> Result<QualifiedName> {
        let place = self.place_of(real).await?;
        self.run(real, &format!("create table {place} (like {real} including indexes)")).await?;
        Ok(place)
    }

    async fn mirror_view(&mut self, view: &View) -> Result<QualifiedName> {
        let place = self.place_of(&view.name).await?;
        let text = redirect(&view.definition, &self.places);
        self.run(&view.name, &format!("create view {place} as {text}")).await?;
        Ok(place)
    }

    /// The statements that build a materialized view aside, tried out without rows.
    async fn materialized(
        &self,
        view: &View,
        here: &QualifiedName,
        aside: &HashMap<QualifiedName, QualifiedName>,
    ) -> Result<Vec<String>> {
        let create = View { name: here.clone(), ..view.clone() }.create("create materialized view");
        let mut statements = vec![format!("{} with no data", redirect(&create, aside))];
        for index in Index::list(self.client, view.oid).await? {
            let definition = retarget(&index.definition, &view.name, here)?.to_string();
            statements.extend(dependents::index(&Index { definition, ..index }, here, false, 0).create);
        }
        let furniture = view.furniture(self.client).await?;
        statements.extend(furniture.iter().map(|text| redirect(text, aside).to_string()));
        self.run(&view.name, &statements.join(";")).await?;
        Ok(statements)
    }

    /// Makes it for the copies. `owner` is the role of this session.
    async fn mirror_other(&mut self, other: &Referrer, owner: &Ident) -> Result<()> {
        if let Some(table) = other.table.as_ref().filter(|table| !self.places.contains_key(table)) {
            let place = self.place_of(table).await?;
            self.run(table, &format!("create table {place} (like {table})")).await?;
        }
        let Some(make) = other.make.first() else { return Ok(()) };
        let mut text = redirect(make, &self.places).to_string();
        let mut role = None;
        match other.kind.as_str() {
            "function" => {
                let place = self.place_of(&other.name).await?;
                text = renamed_function(&text, &place);
            }
            // Only its owner may, and the copy is the table owner's as the table is.
            "publication" => role = other.role.as_ref(),
            _ => {}
        }
        if let Some(role) = role {
            text = format!("set local role {role}; {text}; set local role {owner}");
        }
        let shown = Ident::new(other.shown.clone());
        self.run(&QualifiedName { schema: Ident::new(other.kind.clone()), name: shown }, &text).await
    }

    /// Makes sure that nothing which was made here still names one of these relations.
    async fn expect_no_other(&self, relations: &[u32]) -> Result<()> {
        let is_here = |name: &QualifiedName| self.schemas.contains(&name.schema);
        let views = View::list(self.client, relations).await?.into_iter().map(|view| view.name);
        let others = Referrer::list(self.client, relations).await?;
        let others = others.into_iter().map(|other| other.table.unwrap_or(other.name));
        match views.chain(others).find(is_here) {
            Some(name) => Err(refused(
                &self.back().get(&name).unwrap_or(&name).shown(),
                "it names the table in a way that is not known here",
            )),
            None => Ok(()),
        }
    }

    /// What each copy stands for.
    fn back(&self) -> HashMap<QualifiedName, QualifiedName> {
        self.places.iter().map(|(real, place)| (place.clone(), real.clone())).collect()
    }

    async fn run(&self, what: &QualifiedName, statement: &str) -> Result<()> {
        tracing::debug!(statement, "referrers");
        self.client.batch_execute(statement).await.map_err(|error| {
            let error = Error::from(error);
            if error.kind != crate::error::Kind::Failed {
                return error;
            }
            let mut error = error
                .context(format!("{} can not be carried over", what.shown()))
                .with_kind(crate::error::Kind::Refused)
                .state("nothing was changed")
                .hint("Drop it before and create it again after the swap.");
            // The server speaks of the copies.
            error.cause = error.cause.map(|cause| {
                self.places.iter().fold(cause, |cause, (real, place)| {
                    cause.replace(&place.schema.shown(), &real.schema.shown())
                })
            });
            error
        })
    }
}

/// A definition as `pg_get_functiondef` writes it, for a function of another name.
fn renamed_function(definition: &str, name: &QualifiedName) -> String {
    let mut quoted = false;
    let open = definition.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == '(' && !quoted
    });
    let (Some((open, _)), Some(kind)) = (open, definition.split(' ').nth(3)) else {
        return definition.to_owned();
    };
    format!("create {kind} {name}{}", &definition[open..])
}

fn check_view(view: &View, owner: &Ident) -> Result<()> {
    let what =
        format!("{}view {}", if view.is_materialized { "materialized " } else { "" }, view.name.shown());
    match view.obstacle {
        Some(why) => Err(refused(&what, why)),
        None if view.is_materialized && view.owner != *owner => {
            Err(refused(&what, "it does not belong to the table's owner, who has to build it"))
        }
        None if !view.may_act => Err(may_not_act(&what, &view.owner)),
        None => Ok(()),
    }
}

fn check_other(other: &Referrer) -> Result<()> {
    let what = format!("{} {}", other.kind, other.shown);
    match (&other.obstacle, &other.role) {
        (Some(why), _) => Err(refused(&what, why)),
        (None, Some(role)) if !other.may_act => Err(may_not_act(&what, role)),
        (None, None) => Err(refused(
            &what,
            "no role that may be acted as here owns both it and the table; let one of the two owners be a member of \
             the other",
        )),
        _ => Ok(()),
    }
}

/// Refuses what names a column that the change drops, and what can not follow a renamed one.
async fn check_columns(client: &Client, original: &Definition, names: &NewNames) -> Result<()> {
    let statement = sql!("referrer/list_column_uses.sql").text();
    let dropped = names.iter().filter(|(_, new)| new.is_none());
    let renamed = names.iter().filter(|(old, new)| new.as_ref().is_some_and(|new| new != old));
    let columns = |names: &mut dyn Iterator<Item = &(Ident, Option<Ident>)>| {
        names.map(|(old, _)| old.as_str().to_owned()).collect::<Vec<_>>()
    };
    for (columns, only, does) in
        [(columns(&mut { dropped }), false, "drops"), (columns(&mut { renamed }), true, "renames")]
    {
        let row = client
            .query_opt(
                &format!("select * from ({statement}) u limit 1"),
                &[&original.table.oid, &columns, &only],
            )
            .await?;
        if let Some(row) = row {
            let (column, user): (String, String) = (row.try_get("column_name")?, row.try_get("user_name")?);
            return Err(refused(
                &user,
                &format!("it uses column {}, which the change {does}", Ident::new(column).shown()),
            ));
        }
    }
    Ok(())
}

fn refused(what: &str, why: &str) -> Error {
    Error::refused(format!("{what} can not be carried over: {why}"))
        .state("nothing was changed")
        .hint("Drop it before and create it again after the swap.")
}

fn may_not_act(what: &str, role: &Ident) -> Error {
    Error::refused(format!("{what} belongs to role {}, and this role may not act as that", role.shown()))
        .state("nothing was changed")
        .hint(format!("Run: grant {role} to the role that connects."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_gets_another_name_and_keeps_the_rest() {
        let place = QualifiedName::new("s", "f");
        for (before, after) in [
            (
                "CREATE OR REPLACE FUNCTION public.f(a integer)\n RETURNS int AS $$ select f(1) $$",
                "create FUNCTION \"s\".\"f\"(a integer)\n RETURNS int AS $$ select f(1) $$",
            ),
            (
                "CREATE OR REPLACE PROCEDURE \"My (App\".f()\n LANGUAGE sql",
                "create PROCEDURE \"s\".\"f\"()\n LANGUAGE sql",
            ),
        ] {
            assert_eq!(renamed_function(before, &place), after);
        }
    }
}
