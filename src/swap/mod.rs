//! The swap: in one short transaction original and shadow change places, or new and retired on the way
//! back. All or nothing; whether it happened is said by the phase, which is part of it.
//!
//! Relies on rounds until one was tiny, and on a verification that counts.
//! Run twice: the phase says whether it happened. Killed midway: the transaction never was.

pub mod finish;
pub mod matviews;
pub mod snapshots;

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::alter::LockMode;
use crate::capture;
use crate::catalog::{Definition, Fingerprint, StatisticsObject, find_table};
use crate::db::Sessions;
use crate::db::search_path;
use crate::error::{Error, Kind, Result};
use crate::failpoint::Failpoint;
use crate::lock::{Hold, LockPolicy, LockStory, Locking, Purpose, Request, Target, may_lock};
use crate::name::{Ident, Literal, sql};
use crate::pair::{Direction, Pair};
use crate::plan::sequence::{SequenceMove, moves};
use crate::plan::{Dependent, Kind as DependentKind, Side, locks};
use crate::replay;
use crate::replay::level::bring_level;
use crate::run::definition;
use crate::run::events::Watch;
use crate::shadow::stage::as_role;
use crate::state::{Migration, Phase, StoredDependent, TableChange, load_dependents};

/// Everything that can be known before the lock is asked for.
struct Exchange {
    outgoing: Definition,
    incoming: Definition,
    outgoing_schema: Ident,
    drop: Vec<StoredDependent>,
    make: Vec<StoredDependent>,
    sequences: Vec<SequenceMove>,
    locks: Request,
    owner: Ident,
    search_path: String,
    digest: Fingerprint,
}

/// Exchanges the two tables and moves the migration on to `to`, which is [`Phase::Swapped`] or
/// [`Phase::RolledBack`]. Says how long the locks were held.
///
/// # Errors
/// Anything before the commit leaves everything as it was. [`Kind::ConnectionLost`]: look at the phase.
pub async fn swap(
    client: &Client,
    sessions: &Sessions,
    migration: &mut Migration,
    change: &TableChange,
    pair: &Pair,
    policy: LockPolicy,
    watch: &Watch,
) -> Result<(Duration, LockStory)> {
    let mut locking = Locking::new(client, migration.id, Purpose::Swap, policy, watch);
    loop {
        let exchange = prepare(client, change, pair).await?;
        // As near as can be before others have to wait for it.
        bring_level(client, sessions, migration.id, change, pair, watch).await?;
        if locking.try_acquire(&exchange.locks, LockMode::AccessExclusive).await? {
            match once(client, migration, change, pair, &exchange, policy, &locking.story).await {
                Ok(held) => return Ok((held, locking.story)),
                Err(error) if locking.story.attempts < policy.attempts && error.kind == Kind::Transient => {
                    watch.note(format!("the swap let go: {}", error.message));
                }
                Err(error) => return Err(error),
            }
        }
        locking.wait(&exchange.locks, LockMode::AccessExclusive).await?;
    }
}

/// The swap in the transaction that holds the locks; committed, or rolled back.
async fn once(
    client: &Client,
    migration: &mut Migration,
    change: &TableChange,
    pair: &Pair,
    exchange: &Exchange,
    policy: LockPolicy,
    story: &LockStory,
) -> Result<Duration> {
    let hold = Hold::begin(policy);
    let error = match under_lock(client, migration, change, pair, exchange, story, hold).await {
        Ok(to) if !hold.is_over() => {
            Failpoint::SwapReady.pass();
            client.batch_execute("commit").await?;
            let took = hold.elapsed();
            Failpoint::Swapped.pass();
            migration.phase = to;
            tracing::info!(migration = %migration.short_id(), phase = %to, held_ms = took.as_millis(), "swapped");
            client
                .execute(
                    "update pgrecast.migration set lock_held_ms = $2 where id = $1",
                    &[&migration.id, &(took.as_secs_f64() * 1000.0)],
                )
                .await?;
            return Ok(took);
        }
        Ok(_) => hold.exceeded(),
        Err(error) => hold.reason(error),
    };
    if error.kind == Kind::ConnectionLost {
        return Err(
            error.state("the connection was lost during the swap: the state says whether it happened")
        );
    }
    client.batch_execute("rollback").await?;
    let error = error.state("the swap was rolled back: nothing was changed");
    if error.is_sqlstate(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) {
        let mut error =
            error.with_kind(Kind::NeedsPerson).context("something new stands on what has to be made anew");
        // The server's own is CASCADE.
        error.hint = Some(
            "It came since the migration was planned. Drop it and create it again afterwards.".to_owned(),
        );
        return Err(error);
    }
    Err(error)
}

async fn prepare(client: &Client, change: &TableChange, pair: &Pair) -> Result<Exchange> {
    let outgoing = Definition::read(client, pair.from_oid).await?;
    let incoming = Definition::read(client, pair.to_oid).await?;
    let (drop_side, make_side, outgoing_schema) = match pair.direction {
        Direction::Forward => (Side::Original, Side::New, change.retired_schema.clone()),
        Direction::Reverse => (Side::New, Side::Original, change.shadow_schema.clone()),
    };
    let mut drop = load_dependents(client, change.id, drop_side).await?;
    let mut make = load_dependents(client, change.id, make_side).await?;
    drop.retain(|stored| stored.dependent.is_of_swap());
    make.retain(|stored| stored.dependent.is_of_swap());
    let forward = crate::state::load_mapping(client, change.id, "forward").await?;
    let counterpart = |column: &Ident| match pair.direction {
        Direction::Forward => forward.target_of(column).map(|output| output.name.clone()),
        Direction::Reverse => forward
            .columns()
            .iter()
            .find(|output| output.name == *column)
            .and_then(|output| output.from.clone()),
    };
    let sequences = moves(&outgoing, &incoming, counterpart);
    let owner = incoming.table.owner.clone();
    let locks = list_locks(client, change, pair, &owner, drop.iter().chain(&make)).await?;
    let search_path = search_path::current(client).await?;
    let digest = Fingerprint::plan(client, pair.from_oid).await?;
    definition::check(client, &digest, change, pair).await?;
    Ok(Exchange {
        outgoing,
        incoming,
        outgoing_schema,
        drop,
        make,
        sequences,
        locks,
        owner,
        search_path,
        digest,
    })
}

/// Finds the relations that the swap locks.
async fn list_locks(
    client: &Client,
    change: &TableChange,
    pair: &Pair,
    owner: &Ident,
    dependents: impl Iterator<Item = &StoredDependent>,
) -> Result<Request> {
    let mut targets = Vec::new();
    let mut main = 0;
    for locked in locks::of_swap(&change.name, dependents.map(|stored| &stored.dependent)) {
        if locked.name == change.name {
            main = targets.len();
            targets.push(Target::table(&change.name, pair.from_oid));
            continue;
        }
        let oid = find_table(client, &locked.name.to_string()).await?.ok_or_else(|| {
            Error::needs_person(format!("{} does not exist any more", locked.name.shown()))
                .state("nothing was swapped")
        })?;
        let mut view_of = None;
        if locked.is_view {
            let text =
                "select pg_catalog.pg_get_userbyid(relowner)::text from pg_catalog.pg_class where oid = $1";
            let view_owner: String = client.query_one(text, &[&oid]).await?.try_get(0)?;
            view_of = Some((locked.role.as_ref().unwrap_or(owner).clone(), Ident::new(view_owner)));
        }
        // LOCK TABLE asks for more rights than a foreign key does. Without them the statement that
        // drops or makes the key takes the lock, also within lock_timeout.
        if view_of.is_some() || may_lock(client, oid).await? {
            targets.push(Target { view_of, ..Target::table(&locked.name, oid) });
        }
    }
    Ok(Request { targets, main })
}

/// All of it but the commit. The first statement that takes a snapshot comes after the last lock.
async fn under_lock(
    client: &Client,
    migration: &mut Migration,
    change: &TableChange,
    pair: &Pair,
    exchange: &Exchange,
    story: &LockStory,
    hold: Hold,
) -> Result<Phase> {
    definition::check(client, &exchange.digest, change, pair).await?;
    capture::check(client, change, pair).await?;
    hold.limit(client).await?;
    let round = replay::round_in_transaction(client, pair).await?;
    hold.limit(client).await?;
    let is_empty: bool = client
        .query_one(
            &format!(
                "select not exists (select from {}) and not exists (select from {})",
                pair.log, pair.keys
            ),
            &[],
        )
        .await?
        .try_get(0)?;
    if !is_empty {
        return Err(Error::failed("the log is not empty although nobody can write to the table"));
    }
    let values = take_sequences(client, &exchange.sequences).await?;
    let xid: String =
        client.query_one("select pg_catalog.pg_current_xact_id()::text", &[]).await?.try_get(0)?;
    let mut statements = exchange_statements(change, pair, exchange);
    statements.extend(sequence_statements(change, exchange, &values));
    statements.extend(capture_statements(change, pair, &xid));
    for statement in &statements {
        tracing::debug!(statement, "swap");
    }
    hold.limit(client).await?;
    client.batch_execute(&statements.join(";\n")).await?;
    set_identities(client, change, exchange, &values).await?;
    expect_unnamed(client, pair, &exchange.outgoing_schema).await?;
    hold.limit(client).await?;
    let to = match pair.direction {
        Direction::Forward => Phase::Swapped,
        Direction::Reverse => Phase::RolledBack,
    };
    if to == Phase::Swapped {
        capture::record_triggers(client, change, pair.to_oid).await?;
        definition::record(client, &exchange.digest, change, pair.to_oid).await?;
    }
    // The phase in memory changes only when the commit is known.
    let before = migration.phase;
    migration.advance(client, to).await?;
    migration.phase = before;
    client
        .execute(
            "update pgrecast.migration set swap_xid = $2, swapped_at = clock_timestamp(),
                 lock_attempts = $3, lock_waited_ms = $4, lock_blockers = $5, lock_held_ms = $6,
                 keys_replayed = keys_replayed + $7, rounds = rounds + 1
             where id = $1",
            &[
                &migration.id,
                &xid,
                &(story.attempts as i32),
                &(story.waited.as_secs_f64() * 1000.0),
                &story.blockers,
                &(hold.elapsed().as_secs_f64() * 1000.0),
                &(round.keys as i64),
            ],
        )
        .await?;
    Ok(to)
}

/// Makes sure that nothing elsewhere names the outgoing table any more: it would go on with the retired one.
async fn expect_unnamed(client: &Client, pair: &Pair, aside: &Ident) -> Result<()> {
    let statement = sql!("swap/list_names.sql").text();
    match client.query_opt(&statement, &[&pair.from_oid, &aside.as_str()]).await? {
        None => Ok(()),
        Some(row) => Err(Error::needs_person(format!(
            "{} names the table and came there since the migration was planned",
            row.try_get::<_, String>("name")?
        ))
        .hint("Drop it and create it again afterwards, or `pgrecast abort` and begin again.")),
    }
}

/// Takes each sequence's own lock, so that nobody takes a value, and reads where it stands.
async fn take_sequences(client: &Client, sequences: &[SequenceMove]) -> Result<Vec<(i64, bool)>> {
    let mut values = Vec::with_capacity(sequences.len());
    for step in sequences {
        let (SequenceMove::Owner { sequence, .. } | SequenceMove::Value { from: sequence, .. }) = step;
        // Sets what is set already: for its lock, which LOCK TABLE does not give on sequences.
        client.batch_execute(&format!("alter sequence {} cache {}", sequence.name, sequence.cache)).await?;
        let row =
            client.query_one(&format!("select last_value, is_called from {}", sequence.name), &[]).await?;
        values.push((row.try_get(0)?, row.try_get(1)?));
    }
    Ok(values)
}

/// Lets the identity sequences of the incoming table go on where the outgoing ones stand; with a gap where
/// somebody waits for one of these and will take a value of it after the commit.
async fn set_identities(
    client: &Client,
    change: &TableChange,
    exchange: &Exchange,
    values: &[(i64, bool)],
) -> Result<()> {
    for (step, (last_value, is_called)) in exchange.sequences.iter().zip(values) {
        if let SequenceMove::Value { from, to } = step {
            let to = to.name.in_schema(&change.name.schema).to_string();
            client
                .execute(&sql!("swap/set_identity.sql").text(), &[&to, &from.oid, last_value, is_called])
                .await?;
        }
    }
    Ok(())
}

fn exchange_statements(change: &TableChange, pair: &Pair, exchange: &Exchange) -> Vec<String> {
    let name = &change.name;
    let mut out = Vec::new();
    // What was made last may stand on what was made before it.
    for stored in exchange.drop.iter().rev() {
        if stored.dependent.kind == DependentKind::MaterializedView {
            let view = &stored.dependent.table;
            out.push(format!("alter materialized view {view} set schema {}", exchange.outgoing_schema));
        }
        let drop = stored.dependent.drop.clone();
        out.extend(drop.map(|drop| as_role(stored.dependent.role.as_ref(), &exchange.owner, &drop)));
    }
    for trigger in capture::trigger_names() {
        out.push(format!("drop trigger if exists {trigger} on {name}"));
    }
    out.push(format!("drop trigger if exists pgrecast_guard on {name}"));
    if !exchange.outgoing.triggers.is_empty() {
        out.push(format!("alter table {name} disable trigger user"));
    }
    for step in &exchange.sequences {
        if let SequenceMove::Owner { sequence, column: Some(_), .. } = step {
            // Else it would go along with the outgoing table.
            out.push(format!("alter sequence {} owned by none", sequence.name));
        }
    }
    for object in &exchange.outgoing.statistics {
        out.push(format!("alter statistics {} set schema {}", object.name, exchange.outgoing_schema));
    }
    out.push(format!("alter table {name} set schema {}", exchange.outgoing_schema));
    out.push(format!("alter table {} set schema {}", pair.to, name.schema));
    let (views, make): (Vec<_>, Vec<_>) = exchange
        .make
        .iter()
        .map(|stored| &stored.dependent)
        .partition(|dependent| dependent.kind == DependentKind::MaterializedView);
    for view in views {
        let aside = view.table.in_schema(&pair.to.schema);
        out.push(format!("alter materialized view {aside} set schema {}", view.table.schema));
    }
    for object in &exchange.incoming.statistics {
        let schema = home(object, &exchange.outgoing.statistics).unwrap_or(&name.schema);
        out.push(format!("alter statistics {} set schema {schema}", object.name));
    }
    let (here, elsewhere): (Vec<_>, Vec<_>) = make.into_iter().partition(|dependent| !is_referrer(dependent));
    out.extend(here.into_iter().flat_map(|dependent| dependent.create.clone()));
    out.push(search_path::EMPTY.to_owned());
    for dependent in elsewhere {
        out.extend(
            dependent.create.iter().map(|create| as_role(dependent.role.as_ref(), &exchange.owner, create)),
        );
    }
    out.push(search_path::back_to(&exchange.search_path));
    out
}

/// Whether it stands elsewhere and names the table.
fn is_referrer(dependent: &Dependent) -> bool {
    use DependentKind::{Function, Policy, Publication, Rule, View};
    matches!(dependent.kind, View | Function | Rule | Policy | Publication)
}

/// The schema of the outgoing statistics object of the same name.
fn home<'a>(object: &StatisticsObject, outgoing: &'a [StatisticsObject]) -> Option<&'a Ident> {
    outgoing.iter().find(|other| other.name.name == object.name.name).map(|other| &other.name.schema)
}

fn sequence_statements(change: &TableChange, exchange: &Exchange, values: &[(i64, bool)]) -> Vec<String> {
    let name = &change.name;
    let mut out = Vec::new();
    for (step, (last_value, _)) in exchange.sequences.iter().zip(values) {
        match step {
            SequenceMove::Owner { sequence, column: Some(column), type_name } => {
                // Going back to a narrower type only while the value still fits it.
                let limit = match type_name.as_deref() {
                    Some("smallint") => i64::from(i16::MAX),
                    Some("integer") => i64::from(i32::MAX),
                    _ => i64::MAX,
                };
                if let Some(type_name) = type_name.as_ref().filter(|_| *last_value < limit) {
                    out.push(format!("alter sequence {} as {type_name}", sequence.name));
                }
                out.push(format!("alter sequence {} owned by {name}.{column}", sequence.name));
            }
            SequenceMove::Owner { column: None, .. } | SequenceMove::Value { .. } => {}
        }
    }
    out
}

fn capture_statements(change: &TableChange, pair: &Pair, xid: &str) -> Vec<String> {
    let name = &change.name;
    let mut out = Vec::new();
    if pair.direction == Direction::Forward {
        out.push(capture::trigger_statements(change, Direction::Reverse, name));
    }
    // Transactions with a snapshot older than the swap get the error they must expect anyway, instead
    // of an UPDATE that silently finds nothing. `finish` takes it off as soon as no such snapshot lives.
    out.push(format!(
        "create trigger pgrecast_guard before update or delete on {name} for each statement \
         execute function pgrecast.guard({})",
        Literal(xid)
    ));
    out.push(format!("alter table {name} enable always trigger pgrecast_guard"));
    out
}
