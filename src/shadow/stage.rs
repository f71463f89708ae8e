//! Copies of tables and of the objects that refer to them, in scratch schemas. The server shows there what a rename
//! does to their definitions, and whether they work on the new shape.
//!
//! Everything is created inside a savepoint that the caller rolls back.

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::alter::{redirect, redirect_all, retarget};
use crate::catalog::{Furniture, Index, Referrer, ReferrerKind, View};
use crate::error::{Code, Error, Kind, Result};
use crate::name::{Ident, QualifiedName};
use crate::plan::dependents;
use crate::plan::shadow::Place;

/// Copies in scratch schemas, one for each schema of the originals so that each copy keeps its name, and the map from
/// originals to copies.
pub struct Stage<'a> {
    client: &'a Client,
    /// The role of this session.
    owner: &'a Ident,
    prefix: String,
    /// The copy of each relation.
    places: HashMap<QualifiedName, QualifiedName>,
    /// The name of each function and of its copy. By oid, because several functions can have the same name.
    functions: HashMap<u32, (QualifiedName, QualifiedName)>,
    schemas: HashMap<Ident, Ident>,
}

impl<'a> Stage<'a> {
    /// An empty stage. `what` distinguishes its schemas from those of another stage.
    #[must_use]
    pub fn new(client: &'a Client, owner: &'a Ident, place: &Place, what: &str) -> Self {
        let prefix = format!("{}_{what}", place.scratch.as_str());
        Stage {
            client,
            owner,
            prefix,
            places: HashMap::new(),
            functions: HashMap::new(),
            schemas: HashMap::new(),
        }
    }

    /// Sets the copy that replaces a relation.
    pub fn put(&mut self, real: &QualifiedName, place: &QualifiedName) {
        self.places.insert(real.clone(), place.clone());
    }

    /// The name of a copy: its schema depends on the schema of the original.
    async fn home_of(&mut self, real: &QualifiedName) -> Result<QualifiedName> {
        if let Some(schema) = self.schemas.get(&real.schema) {
            return Ok(real.in_schema(schema));
        }
        let schema = Ident::new(format!("{}_{}", self.prefix, self.schemas.len()));
        self.client
            .batch_execute(&format!("create schema {schema}; grant all on schema {schema} to public"))
            .await?;
        let place = real.in_schema(&schema);
        self.schemas.insert(real.schema.clone(), schema);
        Ok(place)
    }

    async fn place_of(&mut self, real: &QualifiedName) -> Result<QualifiedName> {
        let place = self.home_of(real).await?;
        self.put(real, &place);
        Ok(place)
    }

    /// A text with the originals replaced by their copies; of functions, only `calls` are replaced.
    fn there(&self, text: &str, calls: &[u32]) -> String {
        let functions = calls.iter().filter_map(|oid| self.functions.get(oid).cloned()).collect();
        redirect_all(text, &self.places, &functions).to_string()
    }

    /// The inverse: the copies replaced by their originals.
    #[must_use]
    pub fn back_again(&self, text: &str) -> String {
        let functions = self.functions.values().map(|(real, place)| (place.clone(), real.clone())).collect();
        redirect_all(text, &self.back(), &functions).to_string()
    }

    /// Creates an empty table with the same columns and indexes.
    pub async fn copy_table(&mut self, real: &QualifiedName) -> Result<QualifiedName> {
        let place = self.place_of(real).await?;
        self.run(real, &format!("create table {place} (like {real} including indexes)")).await?;
        Ok(place)
    }

    /// Creates a view with the same query over the copies of its relations.
    pub async fn mirror_view(&mut self, view: &View) -> Result<QualifiedName> {
        let place = self.place_of(&view.name).await?;
        let statement = format!("create view {place} as {}", self.there(&view.definition, &view.calls));
        self.run(&view.name, &as_role(Some(&view.role), self.owner, &statement)).await?;
        Ok(place)
    }

    /// Tries everything that a view has besides its query on its copy.
    pub async fn furnish(&self, view: &View, furniture: &[String]) -> Result<()> {
        let statements: Vec<String> = furniture.iter().map(|text| self.there(text, &view.calls)).collect();
        self.run(&view.name, &as_role(Some(&view.role), self.owner, &statements.join("; "))).await
    }

    /// The statements that build a new materialized view, tried without rows.
    pub async fn build_aside(
        &self,
        view: &View,
        here: &QualifiedName,
        aside: &HashMap<QualifiedName, QualifiedName>,
        furniture: &Furniture,
    ) -> Result<Vec<String>> {
        let create = View { name: here.clone(), ..view.clone() }.create("create materialized view");
        let mut statements = vec![format!("{} with no data", redirect(&create, aside))];
        for index in Index::list(self.client, view.oid).await? {
            let definition = retarget(&index.definition, &view.name, here)?.to_string();
            statements.extend(dependents::index(&Index { definition, ..index }, here, false, 0).create);
        }
        statements.extend(furniture.of(self.client, view, here).await?);
        self.run(&view.name, &statements.join(";")).await?;
        Ok(statements)
    }

    /// Creates a copy of a function, rule or policy that refers to the copies.
    pub async fn mirror_other(&mut self, other: &Referrer) -> Result<()> {
        let mut statements = Vec::new();
        if let Some(table) = other.table.as_ref().filter(|table| !self.places.contains_key(table)) {
            let place = self.place_of(table).await?;
            statements.push(format!("create table {place} (like {table})"));
        }
        let Some(make) = other.make.first() else { return Ok(()) };
        let calls: Vec<u32> = self.functions.keys().copied().collect();
        let mut text = self.there(make, &calls);
        if other.kind == ReferrerKind::Function {
            let place = self.home_of(&other.name).await?;
            text = renamed_function(&text, &place);
            self.functions.insert(other.oid, (other.name.clone(), place));
        }
        statements.push(text);
        let shown = Ident::new(other.shown.clone());
        let text = as_role(other.role.as_ref(), self.owner, &statements.join("; "));
        self.run(&QualifiedName { schema: Ident::new(other.kind.as_str()), name: shown }, &text).await
    }

    /// Makes sure that nothing created here still refers to one of these relations.
    pub async fn expect_no_other(&self, relations: &[u32]) -> Result<()> {
        let is_here = |name: &QualifiedName| self.schemas.values().any(|schema| *schema == name.schema);
        let views = View::readers(self.client, relations).await?.into_iter();
        let others = Referrer::list(self.client, relations).await?;
        let others = others.into_iter().map(|other| other.table.unwrap_or(other.name));
        match views.chain(others).find(is_here) {
            Some(name) => Err(refused(
                Code::NotCarriedOver,
                &self.real(&name).unwrap_or(&name).shown(),
                "it refers to the table in a way that pgrecast does not know",
            )),
            None => Ok(()),
        }
    }

    /// Drops and renames the columns of a copy as the change does. Two columns may exchange their names.
    pub async fn rename(&self, copy: &QualifiedName, names: &[(Ident, Option<Ident>)]) -> Result<()> {
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
        Ok(self.client.batch_execute(&format!("{first}{then}")).await?)
    }

    fn real(&self, copy: &QualifiedName) -> Option<&QualifiedName> {
        let functions = self.functions.values().map(|(real, place)| (real, place));
        self.places.iter().chain(functions).find(|(_, place)| *place == copy).map(|(real, _)| real)
    }

    /// Replaces the copies by the real relations in a message.
    #[must_use]
    pub fn back(&self) -> HashMap<QualifiedName, QualifiedName> {
        self.places.iter().map(|(real, place)| (place.clone(), real.clone())).collect()
    }

    async fn run(&self, what: &QualifiedName, statement: &str) -> Result<()> {
        tracing::debug!(statement, "referrers");
        self.client.batch_execute(statement).await.map_err(|error| {
            let error = Error::from(error);
            if error.kind != Kind::Failed {
                return error;
            }
            let mut error = error
                .context(format!("{} cannot be carried over", what.shown()))
                .refused_as(Code::NotCarriedOver)
                .about(what.shown())
                .state("nothing was changed")
                .hint("Drop it first, and create it again after the swap.");
            // The server's message names the copies.
            let functions = self.functions.values().map(|(real, place)| (real, place));
            let mut places: Vec<_> = self.places.iter().chain(functions).collect();
            // The name of one schema may be a prefix of another's.
            places.sort_by_key(|(_, place)| std::cmp::Reverse(place.schema.as_str().len()));
            error.cause = error.cause.map(|cause| {
                places.iter().fold(cause, |cause, (real, place)| {
                    cause.replace(&place.schema.shown(), &real.schema.shown())
                })
            });
            error
        })
    }
}

/// Wraps statements so that they run as the given role, in a session of the role `owner`.
#[must_use]
pub fn as_role(role: Option<&Ident>, owner: &Ident, statements: &str) -> String {
    match role.filter(|role| *role != owner) {
        Some(role) => format!("set local role {role}; {statements}; set local role {owner}"),
        None => statements.to_owned(),
    }
}

/// A definition from `pg_get_functiondef`, changed to another function name.
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

/// The refusal for an object that cannot be changed to refer to another table.
#[must_use]
pub fn refused(code: Code, what: &str, why: &str) -> Error {
    Error::refused(code, format!("{what} cannot be carried over: {why}"))
        .about(what)
        .state("nothing was changed")
        .hint("Drop it first, and create it again after the swap.")
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
