//! The shadow: an empty table in a schema of its own, in the new shape, and the blueprint derived from building it. The
//! server runs the ALTER on it, and so decides what is valid and what it means.
//!
//! Holds afterwards: the shadow has the columns, defaults, valid checks and grants of the new shape; no index, no
//! foreign key, and its triggers are disabled.
//! Run twice: the caller checks the phase; everything is one transaction with the phase.
//! Killed midway: the transaction is rolled back.

mod accept;
mod added;
mod apply;
mod expression;
mod judge;
pub(crate) mod layout;
mod order;
mod own_oid;
pub(crate) mod parents;
mod referrers;
mod retyped;
pub mod stage;
mod users;

pub use order::find_order;

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::alter::{ActionKind, Alter, is_plain_cast};
use crate::catalog::{Definition, ForeignKey, OwnedSequence, find_table};
use crate::change::Change;
use crate::error::{Code, Error, Kind, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::cast::can_assign;
use crate::plan::key::{is_key_index, shared_key};
use crate::plan::mapping::reverse;
use crate::plan::shadow::{Place, create_table, foreign_keys, furnish, strip};
use crate::plan::{Blueprint, Dependent, Mapping, Side, dependents};
use crate::run::made;
use apply::apply;
use expression::check_filter;
use parents::Parents;

/// Builds the shadow in the open transaction of `client`, as the table's owner. `plan` rolls that transaction back,
/// `run` commits it.
///
/// # Errors
/// [`Kind::Refused`] for what the server or pgrecast does not accept; the server's message is the cause.
pub async fn build(
    client: &Client,
    original: &Definition,
    place: &Place,
    change: &Change,
) -> Result<Blueprint> {
    let columns = Columns { first: &change.columns, may_be_retyped: change.columns.is_empty() };
    let furnished = furnished(client, original, place, &change.alter, columns).await?;
    let Furnished { oid, parents, retyped } = &furnished;
    let oid = *oid;
    let standing = judge::standing(client, &OwnedSequence::list(client, oid).await?).await?;
    if !change.order.is_empty() {
        find_order(client, original.table.oid, &change.order).await?;
    }
    if let Some(filter) = &change.filter {
        check_filter(client, original, place, filter).await?;
    }
    let mut forward = apply(client, original, place, change, &furnished).await?;
    forward.filter.clone_from(&change.filter);
    judge::free_names(client, original, &place.shadow, oid, &forward).await?;
    made::expect_altered(client, original.table.oid, &place.shadow, &change.alter).await?;
    let new = Definition::read(client, oid).await?;
    let reverse =
        reverse(&forward, &original.columns, &new.columns, &change.reverse, &original.table.name.name);
    let key = shared_key(
        original,
        &new,
        &forward,
        |c| is_free(&change.alter, c),
        |c| !retyped.is_empty() || is_added(&change.alter, c),
    )
    .map_err(|none| {
        let message =
            format!("{} has no key that identifies its rows: {}", original.table.name.shown(), none.why);
        Error::refused(none.code, message).state("nothing was changed").hint(none.hint)
    })?;
    judge::judge(client, original, &judge::Outcome { new: &new, forward: &forward, key: &key }, &standing)
        .await?;
    if change.filter.is_some() {
        judge::left_out(original, &new, &forward, &key, &change.alter)?;
    }
    let mut dependents = list_dependents(original, &new, &key, place, parents);
    dependents.extend(referrers::carry(client, original, place, &new_names(original, &new, &forward)).await?);
    for statement in strip(&new) {
        run(client, &statement).await?;
    }
    let blueprint = Blueprint { new, forward, reverse, key, dependents };
    made::expect_altered(client, original.table.oid, &place.shadow, &change.alter).await?;
    check_mappings(client, original, place, &blueprint, change).await?;
    run(client, &format!("drop schema {} cascade", place.scratch)).await?;
    Ok(blueprint)
}

/// How the columns of a shadow differ from those of the original when it is created.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Columns<'a> {
    /// The columns that come first.
    pub(crate) first: &'a [Ident],
    /// Whether the first statement may run before the generated columns are created ([`retyped`]).
    pub(crate) may_be_retyped: bool,
}

/// The clone.
pub(crate) struct Furnished {
    /// Its oid.
    pub(crate) oid: u32,
    /// The stand-ins for tables that the change references.
    pub(crate) parents: Parents,
    /// Columns that already have their new types, because the first statement was run.
    pub(crate) retyped: Vec<Ident>,
}

/// Builds an empty clone of the table with everything that the change might refer to, and stand-ins for the tables at
/// the other ends of foreign keys, also of new ones. The columns in `first` come first.
pub(crate) async fn furnished(
    client: &Client,
    original: &Definition,
    place: &Place,
    alter: &Alter,
    columns: Columns<'_>,
) -> Result<Furnished> {
    let shadow = &place.shadow;
    run(client, &format!("create schema {}", shadow.schema)).await.map_err(|error| {
        if error.is_sqlstate(&tokio_postgres::error::SqlState::DUPLICATE_SCHEMA) {
            error
                .context(format!("the schema {} for the shadow is taken", shadow.schema))
                .refused_as(Code::SchemaTaken)
                .about(shadow.schema.shown())
                .hint("Drop or rename it; it contains nothing of this migration.")
        } else {
            error
        }
    })?;
    run(client, &format!("create schema {}", place.scratch)).await?;
    let first = alter.statements.first().filter(|_| columns.may_be_retyped);
    let retyped = retyped::make(client, original, place, first).await?;
    let template = match &retyped {
        Some(retyped) => Some(retyped.template.clone()),
        None if columns.first.is_empty() => None,
        None => Some(layout::template(client, original, place, columns.first).await?),
    };
    let source = retyped.as_ref().map_or(original, |retyped| &retyped.source);
    let oid = create(client, source, shadow, template.as_ref()).await?;
    own_oid::replace(client, source, shadow).await?;
    if let Some(template) = template {
        run(client, &format!("alter table {shadow} no inherit {template}")).await?;
    }
    let identity_names: HashMap<Ident, QualifiedName> = OwnedSequence::list(client, oid)
        .await?
        .into_iter()
        .map(|sequence| (sequence.column, sequence.name))
        .collect();
    for statement in furnish(original, shadow, &identity_names)? {
        run(client, &statement).await?;
    }
    carry(client, original, shadow, oid).await?;
    for statement in foreign_keys(original, place) {
        run(client, &statement).await?;
    }
    let retyped = retyped.map(|retyped| retyped.columns).unwrap_or_default();
    made::expect_clone(client, original.table.oid, shadow, retyped.is_empty()).await?;
    let parents = parents::stand_in(client, original, place, alter).await?;
    Ok(Furnished { oid, parents, retyped })
}

/// Creates the bare shadow. The server derives the name of its array type from the table's name, and SET SCHEMA cannot
/// change that name. If the name will be taken later, a temporary domain prevents the server from choosing it.
async fn create(
    client: &Client,
    original: &Definition,
    shadow: &QualifiedName,
    template: Option<&QualifiedName>,
) -> Result<u32> {
    let statement = create_table(original, shadow, template);
    run(client, &statement).await?;
    let find = async || {
        let found = find_table(client, &shadow.to_string()).await?;
        found.ok_or_else(|| Error::failed("the shadow vanished while it was made"))
    };
    let is_taken = async |oid: u32| -> Result<bool> {
        let row = client
            .query_one(&sql!("shadow/is_array_type_taken.sql").text(), &[&oid, &original.table.oid])
            .await?;
        Ok(row.try_get("taken")?)
    };
    let mut oid = find().await?;
    if is_taken(oid).await? {
        let array: String = client
            .query_one(
                "select a.typname::text from pg_catalog.pg_class c
                 join pg_catalog.pg_type a on a.typelem = c.reltype and a.typcategory = 'A' where c.oid = $1",
                &[&oid],
            )
            .await?
            .try_get(0)?;
        let passing = QualifiedName { schema: shadow.schema.clone(), name: Ident::new(array) };
        run(client, &format!("drop table {shadow}")).await?;
        run(client, &format!("create domain {passing} as pg_catalog.int4")).await?;
        run(client, &statement).await?;
        run(client, &format!("drop domain {passing}")).await?;
        oid = find().await?;
        if is_taken(oid).await? {
            let message = format!(
                "the array type of the new {} would need a name that is taken",
                original.table.name.shown()
            );
            return Err(Error::refused(Code::TypeNameTaken, message).state("nothing was changed").hint(
                "Rename the tables or types whose names are the name of this table with underscores before it.",
            ));
        }
    }
    Ok(oid)
}

async fn run(client: &Client, statement: &str) -> Result<()> {
    tracing::debug!(statement, "shadow");
    client.batch_execute(statement).await.map_err(|error| {
        let error = Error::from(error);
        if error.kind == Kind::Failed {
            error.context(format!("could not prepare the shadow: {statement}")).refused_as(Code::NotPrepared)
        } else {
            error
        }
    })
}

/// Adds what LIKE leaves out: grants, statistics targets, comments.
async fn carry(client: &Client, original: &Definition, shadow: &QualifiedName, oid: u32) -> Result<()> {
    let name = shadow.to_string();
    let rows =
        client.query(&sql!("catalog/list_carried.sql").text(), &[&original.table.oid, &name, &oid]).await?;
    for row in rows {
        run(client, row.try_get("statement")?).await?;
    }
    for sequence in original.sequences.iter().filter(|sequence| sequence.is_identity) {
        let here = sequence.name.in_schema(&shadow.schema).to_string();
        let rows =
            client.query(&sql!("catalog/list_sequence_grants.sql").text(), &[&sequence.oid, &here]).await?;
        for row in rows {
            run(client, row.try_get("statement")?).await?;
        }
        // The ALTER may set limits, which the server checks against the next value.
        client
            .execute(
                &format!(
                    "select pg_catalog.setval($1::text::regclass, last_value, is_called) from {}",
                    sequence.name
                ),
                &[&here],
            )
            .await?;
    }
    Ok(())
}

/// The new names of the original's columns.
fn new_names(original: &Definition, new: &Definition, forward: &Mapping) -> referrers::NewNames {
    let is_computed =
        |name: &Ident| new.columns.iter().any(|column| column.is_generated && column.name == *name);
    original
        .columns
        .iter()
        .map(|column| {
            let output = forward.target_of(&column.name).map(|output| output.name.clone());
            let computed = (column.is_generated && is_computed(&column.name)).then(|| column.name.clone());
            (column.name.clone(), output.or(computed))
        })
        .collect()
}

/// Whether no USING expression does more than cast a key column.
fn is_free(alter: &Alter, column: &Ident) -> bool {
    alter.actions().all(|action| match &action.kind {
        ActionKind::SetType { column: target, using: Some(using) } => {
            target != column || is_plain_cast(using, column)
        }
        _ => true,
    })
}

/// Whether the change adds a column of this name.
fn is_added(alter: &Alter, column: &Ident) -> bool {
    alter.actions().any(|action| matches!(&action.kind, ActionKind::AddColumn { name } if name == column))
}

fn list_dependents(
    original: &Definition,
    new: &Definition,
    key: &[crate::plan::KeyColumn],
    place: &Place,
    parents: &Parents,
) -> Vec<Dependent> {
    let name = &original.table.name;
    let real = place.stand_ins(original);
    let named = |table: &QualifiedName| {
        real.get(table).or_else(|| parents.real().get(table)).unwrap_or(table).clone()
    };
    let mut list = Vec::new();
    let mut key_found = false;
    for index in &new.indexes {
        let is_key = !key_found && is_key_index(index, new, key);
        key_found |= is_key;
        let bytes = original
            .indexes
            .iter()
            .find(|before| before.name.name == index.name.name)
            .map_or(0, |before| before.bytes);
        list.push(dependents::index(index, &place.shadow, is_key, bytes));
    }
    list.extend(dependents::unvalidated_checks(new, name));
    for foreign_key in &new.foreign_keys {
        let (child, parent) = (named(&foreign_key.child), named(&foreign_key.parent));
        let known =
            original.foreign_keys.iter().find(|key| key.child == child && key.name == foreign_key.name);
        let leaves = known.map(|key| key.leaves.clone()).unwrap_or_default();
        let key = ForeignKey { leaves, ..foreign_key.clone() };
        list.extend(dependents::foreign_key(Side::New, &key, &child, &parent));
    }
    list.extend(dependents::identities(Side::New, new, name));
    list.extend(dependents::triggers(Side::New, new, name));
    for foreign_key in &original.foreign_keys {
        list.extend(dependents::foreign_key(
            Side::Original,
            foreign_key,
            &foreign_key.child,
            &foreign_key.parent,
        ));
    }
    list.extend(dependents::identities(Side::Original, original, name));
    list.extend(dependents::triggers(Side::Original, original, name));
    list
}

/// Lets the server check both mappings, without running them.
async fn check_mappings(
    client: &Client,
    original: &Definition,
    place: &Place,
    blueprint: &Blueprint,
    change: &Change,
) -> Result<()> {
    for output in blueprint.forward.columns() {
        let target = blueprint.new.columns.iter().find(|column| column.name == output.name);
        let source = original.columns.iter().find(|column| Some(&column.name) == output.from.as_ref());
        if let (Some(target), Some(source)) = (target, source)
            && target.type_name != source.type_name
            && !(can_assign(target) && can_assign(source))
        {
            let column = output.name.shown();
            let message = format!(
                "column {column} is an array of a type with a length: its conversion cannot be checked value by value"
            );
            return Err(Error::refused(Code::ArrayWithLength, message)
                .about(column)
                .state("nothing was changed")
                .hint("Use the element type without a length."));
        }
    }
    let table = &original.table.name;
    let forward = blueprint.forward.source(table, &[]);
    client.prepare(&format!("select * from {forward} f")).await.map_err(|error| {
        Error::from(error)
            .context("an expression (USING, --set, --where) does not work on the columns of the original")
            .refused_as(Code::UnreadableExpression)
            .state("nothing was changed")
    })?;
    // The reverse mapping may lack an assignment cast, for example from text to integer. An expression would find the
    // explicit cast, so an INSERT is checked.
    let given: Vec<String> =
        blueprint.reverse.columns().iter().map(|output| output.name.to_string()).collect();
    let is_given = |output: &crate::plan::Output| change.reverse.iter().any(|(name, _)| *name == output.name);
    let raw: Vec<String> = blueprint
        .reverse
        .columns()
        .iter()
        .map(|output| match &output.from {
            Some(from) if !is_given(output) => format!("t.{from}"),
            _ => "null".to_owned(),
        })
        .collect();
    let insert = format!(
        "insert into {table} ({}) overriding system value select {} from {} t",
        given.join(", "),
        raw.join(", "),
        place.shadow
    );
    let no_way_back = |error: tokio_postgres::Error| {
        let error = Error::from(error);
        let hint = "Give the conversion: --reverse 'column=expression over the new columns', for \
                    example --reverse 'amount=amount::integer'.";
        error
            .context("the change cannot be converted back for a rollback")
            .refused_as(Code::NoWayBack)
            .state("nothing was changed")
            .hint(hint)
    };
    client.prepare(&insert).await.map_err(no_way_back)?;
    let reverse = blueprint.reverse.source(&place.shadow, &[]);
    client.prepare(&format!("select * from {reverse} f")).await.map_err(no_way_back)?;
    Ok(())
}
