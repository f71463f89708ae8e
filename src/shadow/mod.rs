//! The shadow: an empty table in a schema of its own, in the new shape, and what was learned from
//! making it. The ALTER is run on it by the server, which decides what is valid and what it means.
//!
//! Holds afterwards: the shadow has the columns, defaults, valid checks and grants of the new shape;
//! no index, no foreign key, and its triggers are disabled.
//! Run twice: the caller looks at the phase; all of it is one transaction with the phase.
//! Killed midway: nothing was done.

mod added;
mod expression;
mod judge;
pub(crate) mod layout;
mod order;
mod own_oid;
pub(crate) mod parents;
mod referrers;
pub mod stage;

pub use order::find_order;

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::alter::{ActionKind, Alter, is_plain_cast};
use crate::catalog::{Column, Definition, ForeignKey, OwnedSequence, find_table};
use crate::change::Change;
use crate::error::{Code, Error, Kind, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::cast::can_assign;
use crate::plan::key::{is_key_index, shared_key};
use crate::plan::mapping::{Tracker, reverse};
use crate::plan::shadow::{Place, create_table, foreign_keys, furnish, strip};
use crate::plan::{Blueprint, Dependent, Mapping, Side, dependents};
use expression::{check_filter, check_using};
use parents::Parents;

/// Builds the shadow in the transaction that is open on `client`, under the table's owner.
/// `plan` rolls that transaction back, `run` commits it.
///
/// # Errors
/// [`Kind::Refused`] for what the server or we do not accept; the server's words are the cause.
pub async fn build(
    client: &Client,
    original: &Definition,
    place: &Place,
    change: &Change,
) -> Result<Blueprint> {
    let (oid, parents) = furnished(client, original, place, &change.alter, &change.columns).await?;
    let standing = judge::standing(client, &OwnedSequence::list(client, oid).await?).await?;
    if !change.order.is_empty() {
        find_order(client, original.table.oid, &change.order).await?;
    }
    if let Some(filter) = &change.filter {
        check_filter(client, original, place, filter).await?;
    }
    let mut forward = apply(client, original, place, change, (oid, &parents)).await?;
    forward.filter.clone_from(&change.filter);
    judge::free_names(client, original, &place.shadow, oid, &forward).await?;
    let new = Definition::read(client, oid).await?;
    let reverse =
        reverse(&forward, &original.columns, &new.columns, &change.reverse, &original.table.name.name);
    let key =
        shared_key(original, &new, &forward, |column| is_free(&change.alter, column)).map_err(|none| {
            let message =
                format!("{} has no key that identifies its rows: {}", original.table.name.shown(), none.why);
            Error::refused(none.code, message).state("nothing was changed").hint(none.hint)
        })?;
    judge::judge(client, original, &judge::Outcome { new: &new, forward: &forward, key: &key }, &standing)
        .await?;
    if change.filter.is_some() {
        judge::left_out(original, &new, &forward, &key, &change.alter)?;
    }
    let mut dependents = list_dependents(original, &new, &key, place, &parents);
    dependents.extend(referrers::carry(client, original, place, &new_names(original, &new, &forward)).await?);
    for statement in strip(&new) {
        run(client, &statement).await?;
    }
    let blueprint = Blueprint { new, forward, reverse, key, dependents };
    check_mappings(client, original, place, &blueprint, change).await?;
    run(client, &format!("drop schema {} cascade", place.scratch)).await?;
    Ok(blueprint)
}

/// An empty clone of the table with everything on it that the change might speak of, and stand-ins for the tables
/// at the other ends of foreign keys, also of new ones. The columns named come first.
pub(crate) async fn furnished(
    client: &Client,
    original: &Definition,
    place: &Place,
    alter: &Alter,
    first: &[Ident],
) -> Result<(u32, Parents)> {
    let shadow = &place.shadow;
    run(client, &format!("create schema {}", shadow.schema)).await.map_err(|error| {
        if error.is_sqlstate(&tokio_postgres::error::SqlState::DUPLICATE_SCHEMA) {
            error
                .context(format!("the schema {} for the shadow is taken", shadow.schema))
                .refused_as(Code::SchemaTaken)
                .about(shadow.schema.shown())
                .hint("Drop or rename it; nothing of this migration is in it.")
        } else {
            error
        }
    })?;
    run(client, &format!("create schema {}", place.scratch)).await?;
    let template =
        if first.is_empty() { None } else { Some(layout::template(client, original, place, first).await?) };
    let oid = create(client, original, shadow, template.as_ref()).await?;
    own_oid::replace(client, original, shadow).await?;
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
    let parents = parents::stand_in(client, original, place, alter).await?;
    Ok((oid, parents))
}

/// Creates the bare shadow. The server names the array type of its rows after it, and SET SCHEMA can not
/// change that name: where it will be taken, a passing domain keeps the server from choosing it.
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
            let message =
                format!("the array type of the new {} would need a taken name", original.table.name.shown());
            return Err(Error::refused(Code::TypeNameTaken, message).state("nothing was changed").hint(
                "Rename the tables or types whose names are this table's with underscores before it.",
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

/// Grants, statistics targets, comments: what LIKE leaves out.
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
        // The ALTER may set limits that the next value has to keep.
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

/// Runs the asked-for statements on the empty shadow and follows its columns through them.
async fn apply(
    client: &Client,
    original: &Definition,
    place: &Place,
    change: &Change,
    (oid, parents): (u32, &Parents),
) -> Result<Mapping> {
    let mut tracker = Tracker::new(&original.table.name.name, Column::list(client, oid).await?);
    for statement in &change.alter.statements {
        let mut mixed = Vec::new();
        for (column, using) in statement.usings() {
            if check_using(client, place, column, using).await? {
                mixed.push(column.clone());
            }
        }
        let known = tracker.columns().to_vec();
        let as_added = match statement.as_added() {
            Some(as_added) => {
                let text = as_added.sql_with(&place.shadow, |written| parents.stand_in(written));
                added::try_out(client, &text, &place.scratch, oid, &known).await?
            }
            None => None,
        };
        let text = statement.sql_with(&place.shadow, |written| parents.stand_in(written));
        client.batch_execute(text.as_str()).await.map_err(|error| {
            let error = Error::from(error);
            if error.kind != Kind::Failed {
                return error;
            }
            let asked = statement.sql(&original.table.name);
            let mut refused = error
                .context(format!("the server does not accept: {asked}"))
                .refused_as(Code::NotAccepted)
                .state("nothing was changed");
            // The server speaks of the shadow and of stand-ins.
            let names = [(place.shadow.schema.shown(), original.table.name.schema.shown())];
            for (from, to) in names {
                refused.cause = refused.cause.map(|cause| parents.in_words(&cause.replace(&from, &to)));
            }
            refused
        })?;
        let kinds: Vec<ActionKind> = statement.actions.iter().map(|action| action.kind.clone()).collect();
        let after = Column::list(client, oid).await?;
        let added = match as_added {
            Some(added) => added,
            None => added::list(client, &place.scratch, oid, &known, &after).await?,
        };
        tracker.follow(&kinds, &mixed, added, after);
    }
    tracker.finish().map_err(|why| {
        Error::refused(Code::AddedThenAltered, why)
            .state("nothing was changed")
            .hint("Add it with its default alone, and alter it by itself after the swap.")
    })
}

/// What becomes of the original's columns.
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

/// Whether a key's column is left alone by USING expressions that do more than cast it.
fn is_free(alter: &Alter, column: &Ident) -> bool {
    alter.actions().all(|action| match &action.kind {
        ActionKind::SetType { column: target, using: Some(using) } => {
            target != column || is_plain_cast(using, column)
        }
        _ => true,
    })
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
                "column {column} is an array of a type with a length: its conversion can not be checked value by value"
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
            .context("an expression (USING, --set, --where) can not be read against the original")
            .refused_as(Code::UnreadableExpression)
            .state("nothing was changed")
    })?;
    // An assignment cast may be missing on the way back: text to integer, for one. An explicit cast
    // would be found by the expression, so it is an insert that is checked.
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
        let hint = "Give the way back yourself: --reverse 'column=expression over the new columns', for \
                    example --reverse 'amount=amount::integer'.";
        error
            .context("there is no way back for this change")
            .refused_as(Code::NoWayBack)
            .state("nothing was changed")
            .hint(hint)
    };
    client.prepare(&insert).await.map_err(no_way_back)?;
    let reverse = blueprint.reverse.source(&place.shadow, &[]);
    client.prepare(&format!("select * from {reverse} f")).await.map_err(no_way_back)?;
    Ok(())
}
