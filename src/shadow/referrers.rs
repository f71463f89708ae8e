//! Views, rules, policies, functions and publications refer to the table by its oid. For each, this module determines
//! statements that make it refer to the new table in the swap, and to the former one in a rollback.
//!
//! The server helps to find the statements and checks that they work: everything is created once on copies (`stage`),
//! inside a savepoint that is rolled back. Objects of the application are not touched.
//! Run twice: the scratch schemas are the caller's, new each time. Killed midway: the transaction is rolled back.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Client;

use super::stage::{self, Stage};
use crate::catalog::{Attached, Definition, Furniture, Referrer, ReferrerKind, View, find_table};
use crate::db::search_path;
use crate::error::{Code, Error, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::dependents::{self, Carried, Dependent, Kind};
use crate::plan::shadow::Place;

/// The columns of the original, each with its new name, or none if it is dropped.
pub(super) type NewNames = Vec<(Ident, Option<Ident>)>;

/// All objects that refer to the table, for both shapes. The shadow must exist in its new shape, with its indexes.
///
/// # Errors
/// [`crate::error::Kind::Refused`] for an object that cannot be changed to refer to the new table.
pub(super) async fn carry(
    client: &Client,
    original: &Definition,
    place: &Place,
    names: &NewNames,
) -> Result<Vec<Dependent>> {
    let schema = &place.shadow.schema;
    // Other roles need access to the copies of their objects.
    let open = format!("grant usage on schema {schema} to public");
    client.batch_execute(&format!("savepoint pgrecast_referrers; {open}; {}", search_path::EMPTY)).await?;
    let views = View::list(client, &[original.table.oid]).await?;
    let others = Referrer::list(client, &[original.table.oid]).await?;
    let mut list = Vec::new();
    if !(views.is_empty() && others.is_empty()) {
        check_columns(client, original, names).await?;
        let furniture = Furniture::prepare(client).await?;
        let mut carrying = Carrying::new(client, original, place, (names, furniture));
        carrying.views(&views).await?;
        carrying.others().await?;
        list = carrying.list;
    }
    // Everything was created only to try it.
    client.batch_execute("rollback to savepoint pgrecast_referrers").await?;
    Ok(list)
}

/// The state of the trial so far.
struct Carrying<'a> {
    client: &'a Client,
    original: &'a Definition,
    place: &'a Place,
    names: &'a NewNames,
    furniture: Furniture,
    /// The stage for the new shape.
    stage: Stage<'a>,
    /// Relations that will have another oid: objects that refer to them must be changed. The table is the first.
    changing: Vec<u32>,
    /// Views among them that are dropped and created again: no object may depend on them at that time.
    made_anew: Vec<u32>,
    /// The table and materialized views, each with the relation that will replace it.
    aside: HashMap<QualifiedName, QualifiedName>,
    /// Functions whose signatures have the row type of one of the relations.
    functions: Vec<Referrer>,
    /// Those among them for which the statements are complete, because a view calls them.
    carried: HashSet<u32>,
    /// Views that have a copy on the stage.
    staged: HashSet<u32>,
    /// Functions that have a copy on the stage although they are not changed.
    tried: HashSet<u32>,
    list: Vec<Dependent>,
}

impl<'a> Carrying<'a> {
    fn new(
        client: &'a Client,
        original: &'a Definition,
        place: &'a Place,
        (names, furniture): (&'a NewNames, Furniture),
    ) -> Self {
        let mut stage = Stage::new(client, &original.table.owner, place, "new");
        stage.put(&original.table.name, &place.shadow);
        Carrying {
            client,
            original,
            place,
            names,
            furniture,
            stage,
            changing: vec![original.table.oid],
            made_anew: Vec::new(),
            aside: HashMap::from([(original.table.name.clone(), place.shadow.clone())]),
            functions: Vec::new(),
            carried: HashSet::new(),
            staged: HashSet::new(),
            tried: HashSet::new(),
            list: Vec::new(),
        }
    }

    /// Whether a column is renamed or dropped.
    fn is_renamed(&self) -> bool {
        self.names.iter().any(|(old, new)| Some(old) != new.as_ref())
    }

    async fn views(&mut self, views: &[View]) -> Result<()> {
        let relations: Vec<u32> =
            self.changing.iter().copied().chain(views.iter().map(|view| view.oid)).collect();
        let others = Referrer::list(self.client, &relations).await?;
        self.functions = others.into_iter().filter(|other| !other.types.is_empty()).collect();
        let queries = if self.is_renamed() { self.renamed_queries(views).await? } else { HashMap::new() };
        for view in views {
            if !view.sources.iter().any(|source| self.changing.contains(source)) {
                continue;
            }
            check_view(view, &self.original.table.owner)?;
            let definition = queries.get(&view.name).unwrap_or(&view.definition).clone();
            let new = View { definition, ..view.clone() };
            if view.is_materialized {
                self.materialized_view(view, &new).await?;
            } else {
                self.view(view, &new).await?;
            }
        }
        match Attached::first(self.client, &self.changing[1..]).await? {
            None => Ok(()),
            Some(object) => Err(refused(
                &format!("{} {}", object.kind, object.name),
                "it depends on a view that must be created again, because the types of its columns change",
            )),
        }
    }

    /// Replaces a view, or drops it and creates it again if its columns change their types.
    async fn view(&mut self, old: &View, new: &View) -> Result<()> {
        let called = self.functions_called(old);
        for function in &called {
            self.function_of_view(function).await?;
        }
        self.try_others_called(old).await?;
        self.staged.insert(old.oid);
        let mirror = self.stage.mirror_view(new).await?;
        let statement = sql!("catalog/list_view_columns.sql").text();
        let columns: Vec<String> =
            self.client.query_one(&statement, &[&mirror.to_string()]).await?.try_get("columns")?;
        let is_same = columns == old.columns && called.is_empty() && !self.stands_on_made_anew(old);
        let words = if is_same { "create or replace view" } else { "create view" };
        let mut create = [old, new].map(|view| vec![view.create(words)]);
        let mut drop = None;
        if !is_same {
            self.changing.push(old.oid);
            self.made_anew.push(old.oid);
            drop = Some(format!("drop view {}", old.name));
            let furniture = self.furniture.of(self.client, old, &old.name).await?;
            for statements in &mut create {
                statements.extend(furniture.clone());
            }
            let furniture = self.furniture.of(self.client, new, &mirror).await?;
            self.stage.furnish(new, &furniture).await?;
        }
        let role = self.other_role(Some(&old.role));
        self.list.extend(dependents::referrer(Carried {
            kind: Kind::View,
            name: &old.name.name,
            table: &old.name,
            role,
            create,
            drop,
        }));
        Ok(())
    }

    /// The functions that a view calls and that must be created again, because their signatures contain the row type of
    /// a changing relation.
    fn functions_called(&self, view: &View) -> Vec<Referrer> {
        let is_changing = |function: &&Referrer| function.types.iter().any(|oid| self.changing.contains(oid));
        let functions = self.functions.iter().filter(|function| view.calls.contains(&function.oid));
        functions.filter(is_changing).cloned().collect()
    }

    /// Copies functions that the view calls and that are not changed, if their signatures contain the row type of a
    /// relation on the stage: the copy of that relation has another row type.
    async fn try_others_called(&mut self, view: &View) -> Result<()> {
        for function in self.functions.iter().filter(|function| view.calls.contains(&function.oid)) {
            let is_of_staged = function.types.iter().any(|oid| self.staged.contains(oid));
            if is_of_staged && !self.carried.contains(&function.oid) && self.tried.insert(function.oid) {
                self.stage.mirror_other(function).await?;
            }
        }
        Ok(())
    }

    /// Adds a function before the view that calls it, so that it is created again first.
    async fn function_of_view(&mut self, function: &Referrer) -> Result<()> {
        if !self.carried.insert(function.oid) {
            return Ok(());
        }
        check_other(function)?;
        self.stage.mirror_other(function).await?;
        self.other(function, function, true)
    }

    /// Plans a new materialized view. The retired one is refreshed before a swap back.
    async fn materialized_view(&mut self, old: &View, new: &View) -> Result<()> {
        let refuse = |why: &str| Err(refused(&format!("materialized view {}", old.name.shown()), why));
        if self.stands_on_made_anew(old) {
            return refuse(
                "it reads a view that must be created again, because the types of its columns change",
            );
        }
        if let Some(function) = self.functions_called(old).first() {
            return refuse(&format!("it calls function {}, which must be created again", function.shown));
        }
        let here = old.name.in_schema(&self.place.shadow.schema);
        if self.aside.values().any(|taken| *taken == here) {
            return refuse(
                "another materialized view that reads the table has the same name, or the table itself",
            );
        }
        self.aside.insert(old.name.clone(), here.clone());
        // Objects that read it are tried on a view with the same columns.
        self.stage.mirror_view(new).await?;
        let build = self.stage.build_aside(new, &here, &self.aside, &self.furniture).await?;
        let create = [Vec::new(), build];
        self.changing.push(old.oid);
        let kind = Kind::MaterializedView;
        self.list.extend(dependents::referrer(Carried {
            kind,
            name: &old.name.name,
            table: &old.name,
            role: None,
            create,
            drop: None,
        }));
        Ok(())
    }

    /// Rules, policies, functions and publications.
    async fn others(&mut self) -> Result<()> {
        let mut others = Referrer::list(self.client, &self.changing).await?;
        others.retain(|other| !self.carried.contains(&other.oid));
        // An object that refers to a view must be dropped before the view is dropped.
        let of_views: HashSet<String> = if self.made_anew.is_empty() {
            HashSet::new()
        } else {
            let of_views = Referrer::list(self.client, &self.made_anew).await?;
            of_views.into_iter().map(|other| other.shown).collect()
        };
        for other in &others {
            check_other(other)?;
        }
        let new = if self.is_renamed() { self.renamed_others(&others).await? } else { others.clone() };
        for other in &new {
            self.stage.mirror_other(other).await?;
        }
        self.stage.expect_no_other(&self.changing).await?;
        for (old, new) in others.iter().zip(&new) {
            self.other(old, new, of_views.contains(&old.shown))?;
        }
        Ok(())
    }

    /// Adds the statements that make one of them refer to the new table, as `new` does. It is dropped and created again
    /// if `has_to_go`.
    fn other(&mut self, old: &Referrer, new: &Referrer, has_to_go: bool) -> Result<()> {
        let kind = Kind::from(old.kind);
        let is_carried = self.carried.contains(&old.oid);
        let (create, drop) = match (&old.change, &new.change) {
            (Some(old_change), Some(new_change)) if !has_to_go => {
                ([old_change.clone(), new_change.clone()], None)
            }
            _ => match &old.used_by {
                // The views are created again together with it.
                Some(user) if kind == Kind::Function && !(is_carried && old.is_used_by_views_only) => {
                    let what = format!("function {}", old.shown);
                    return Err(refused(
                        &what,
                        &format!("it must be dropped and created again, and is used by {user}"),
                    ));
                }
                _ => ([old.make.clone(), new.make.clone()], Some(old.drop.clone())),
            },
        };
        let role = self.other_role(old.role.as_ref());
        self.list.extend(dependents::referrer(Carried {
            kind,
            name: &old.name.name,
            table: old.table.as_ref().unwrap_or(&self.original.table.name),
            role,
            create,
            drop,
        }));
        Ok(())
    }

    /// The role, if it is not the role of this session.
    fn other_role<'r>(&self, role: Option<&'r Ident>) -> Option<&'r Ident> {
        role.filter(|role| **role != self.original.table.owner)
    }

    fn stands_on_made_anew(&self, view: &View) -> bool {
        view.sources.iter().any(|source| self.made_anew.contains(source))
    }

    /// The queries of views after the rename, by view. The server renames the columns of a copy of the table and prints
    /// the queries of copies of the views.
    async fn renamed_queries(&self, views: &[View]) -> Result<HashMap<QualifiedName, String>> {
        let mut stage = Stage::new(self.client, &self.original.table.owner, self.place, "views");
        let copy = stage.copy_table(&self.original.table.name).await?;
        let mut mirrored = HashSet::new();
        for view in views {
            for function in self.functions.iter().filter(|function| view.calls.contains(&function.oid)) {
                if mirrored.insert(function.oid) {
                    stage.mirror_other(function).await?;
                }
            }
            stage.mirror_view(view).await?;
        }
        stage.rename(&copy, self.names).await?;
        let oid = find_table(self.client, &copy.to_string()).await?.unwrap_or_default();
        let back = stage.back();
        let queries = View::list(self.client, &[oid]).await?.into_iter().filter_map(|view| {
            let name = back.get(&view.name)?.clone();
            Some((name, stage.back_again(&view.definition)))
        });
        Ok(queries.collect())
    }

    /// The same for rules and policies. (Functions and publications that name a renamed column are refused.)
    async fn renamed_others(&self, others: &[Referrer]) -> Result<Vec<Referrer>> {
        let is_followed = |other: &Referrer| matches!(other.kind, ReferrerKind::Rule | ReferrerKind::Policy);
        let mut stage = Stage::new(self.client, &self.original.table.owner, self.place, "others");
        let copy = stage.copy_table(&self.original.table.name).await?;
        for other in others.iter().filter(|other| is_followed(other)) {
            stage.mirror_other(other).await?;
        }
        stage.rename(&copy, self.names).await?;
        let oid = find_table(self.client, &copy.to_string()).await?.unwrap_or_default();
        let back = stage.back();
        let made = Referrer::list(self.client, &[oid]).await?;
        let renamed = |other: &Referrer| {
            let is_it = |made: &&Referrer| {
                let table = made.table.as_ref().and_then(|table| back.get(table));
                made.kind == other.kind && made.name.name == other.name.name && table == other.table.as_ref()
            };
            let found = made.iter().find(is_it).filter(|_| is_followed(other))?;
            let redirected =
                |text: &[String]| text.iter().map(|text| stage.back_again(text)).collect::<Vec<_>>();
            let mut new = other.clone();
            // The statements after the first one name no columns.
            new.make.splice(..1, redirected(&found.make[..1]));
            new.change = found.change.as_deref().map(redirected);
            Some(new)
        };
        Ok(others.iter().map(|other| renamed(other).unwrap_or_else(|| other.clone())).collect())
    }
}

fn check_view(view: &View, owner: &Ident) -> Result<()> {
    let what =
        format!("{}view {}", if view.is_materialized { "materialized " } else { "" }, view.name.shown());
    match &view.obstacle {
        Some(why) => Err(refused(&what, why)),
        None if view.is_materialized && view.owner != *owner => {
            Err(refused(&what, "it does not belong to the table's owner, who must build it"))
        }
        None if !view.may_act => Err(may_not_act(&what, &view.owner)),
        None => may_create(&what, view.missing.as_deref()),
    }
}

fn check_other(other: &Referrer) -> Result<()> {
    let what = format!("{} {}", other.kind.as_str(), other.shown);
    match (&other.obstacle, &other.role) {
        (Some(why), _) => Err(refused(&what, why)),
        (None, Some(role)) if !other.may_act => Err(may_not_act(&what, other.owner.as_ref().unwrap_or(role))),
        (None, None) => Err(refused(
            &what,
            "no role that this role may SET ROLE to owns both it and the table; make one of the two owners a member of \
             the other",
        )),
        _ => may_create(&what, other.missing.as_deref()),
    }
}

fn may_create(what: &str, missing: Option<&str>) -> Result<()> {
    match missing {
        None => Ok(()),
        Some(grants) => {
            let lacks = if grants.contains(", create on schema") {
                "create it in its schema"
            } else {
                "use a schema that it is in or names"
            };
            let message = format!("the owner of {what} may not {lacks}");
            Err(may_not(what, message).hint(format!("Run: {grants}")))
        }
    }
}

/// Refuses objects that use a column which the change drops, and objects that cannot follow a renamed column.
async fn check_columns(client: &Client, original: &Definition, names: &NewNames) -> Result<()> {
    let statement = sql!("catalog/list_column_uses.sql").text();
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
            return Err(stage::refused(
                Code::ColumnInUse,
                &user,
                &format!("it uses column {}, which the change {does}", Ident::new(column).shown()),
            ));
        }
    }
    Ok(())
}

fn may_not_act(what: &str, role: &Ident) -> Error {
    let message = format!("{what} belongs to role {}, and this role may not SET ROLE to it", role.shown());
    may_not(what, message).hint(format!(
        "Run: grant {role} to the role that connects; if it is a member already (PostgreSQL 16 and later), with set true."
    ))
}

fn may_not(what: &str, message: String) -> Error {
    Error::refused(Code::Privilege, message).about(what).state("nothing was changed")
}

fn refused(what: &str, why: &str) -> Error {
    stage::refused(Code::NotCarriedOver, what, why)
}
