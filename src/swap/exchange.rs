//! One table's part of a swap: everything that is known before the lock is requested.

use tokio_postgres::Client;

use crate::catalog::{Definition, Fingerprint, find_relation};
use crate::db::search_path;
use crate::error::{Error, Result};
use crate::lock::{Request, Target, may_lock};
use crate::name::Ident;
use crate::pair::{Direction, Pair};
use crate::plan::sequence::{SequenceMove, moves};
use crate::plan::{Side, locks};
use crate::run::definition;
use crate::run::made::Before;
use crate::state::{StoredDependent, TableChange, load_dependents, load_mapping};

/// Two tables to exchange.
pub(super) struct Exchange {
    pub(super) change: TableChange,
    pub(super) pair: Pair,
    pub(super) outgoing: Definition,
    pub(super) incoming: Definition,
    pub(super) outgoing_schema: Ident,
    pub(super) drop: Vec<StoredDependent>,
    pub(super) make: Vec<StoredDependent>,
    pub(super) sequences: Vec<SequenceMove>,
    pub(super) locks: Request,
    pub(super) owner: Ident,
    pub(super) search_path: String,
    pub(super) digest: Fingerprint,
    /// The features of both tables. The fingerprint, read under the lock, shows that they have not changed.
    pub(super) before: Before,
}

impl Exchange {
    /// Reads everything from the state and the catalog.
    ///
    /// # Errors
    /// [`crate::error::Kind::NeedsPerson`] if another session has changed one of the tables.
    pub(super) async fn prepare(client: &Client, change: &TableChange, pair: &Pair) -> Result<Self> {
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
        let forward = load_mapping(client, change.id, "forward").await?;
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
        let before = Before::read(client, pair.to_oid, pair.from_oid).await?;
        definition::check(client, &digest, change, pair).await?;
        Ok(Exchange {
            change: change.clone(),
            pair: pair.clone(),
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
            before,
        })
    }
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
        let oid = find_relation(client, &locked.name).await?.ok_or_else(|| {
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
        // LOCK TABLE needs more rights than a foreign key does. Without them, the statement that drops or creates the
        // key acquires the lock, also within lock_timeout.
        if view_of.is_some() || may_lock(client, oid).await? {
            targets.push(Target { view_of, ..Target::table(&locked.name, oid) });
        }
    }
    Ok(Request { targets, mains: vec![main] })
}
