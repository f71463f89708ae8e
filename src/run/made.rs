//! Checks that a table that pgrecast created has only the expected features. An event trigger may add features to every
//! table that is created or altered. On a table of pgrecast they would be on the application's table after the swap, or
//! affect the log. They are removed, or the change is refused.
//!
//! Only alters tables of pgrecast, in the transaction that creates them. Run twice: finds nothing to do.

use tokio_postgres::Client;

use crate::alter::Alter;
use crate::catalog::{Feature, FeatureKind, event_triggers, find_table};
use crate::error::{Code, Error, Kind, Result};
use crate::name::{Ident, QualifiedName};
use crate::plan::feature::{Difference, altered, differences, of_own, of_shadow, of_swapped};

/// Makes sure that the shadow has the same features as the original, before the ALTER runs on it.
///
/// # Errors
/// [`Code::EventTrigger`] for a difference that cannot be removed.
pub async fn expect_clone(
    client: &Client,
    original: u32,
    shadow: &QualifiedName,
    has_same_types: bool,
) -> Result<()> {
    let meant = of_shadow(&Feature::list(client, original).await?);
    settle(client, shadow, &meant, |kind| has_same_types || kind != FeatureKind::Column).await
}

/// Makes sure of the same after the ALTER, except for the shape and the features that the ALTER changes.
///
/// # Errors
/// As [`expect_clone`].
pub async fn expect_altered(
    client: &Client,
    original: u32,
    shadow: &QualifiedName,
    alter: &Alter,
) -> Result<()> {
    let meant = of_shadow(&Feature::list(client, original).await?);
    let altered = altered(alter);
    settle(client, shadow, &meant, |kind| !kind.is_shape() && !altered.contains(&kind)).await
}

/// Makes sure that nothing was added to a table that only pgrecast uses.
///
/// # Errors
/// As [`expect_clone`].
pub async fn expect_own(client: &Client, table: &QualifiedName, is_unlogged: bool) -> Result<()> {
    let owner: String = client.query_one("select current_user::text", &[]).await?.try_get(0)?;
    let meant = of_own(&Ident::new(owner), if is_unlogged { "u" } else { "p" });
    let of_ours = |kind: FeatureKind| {
        // Segments inherit from the log.
        !kind.is_shape() && !matches!(kind, FeatureKind::Parent | FeatureKind::Child)
    };
    settle(client, table, &meant, of_ours).await
}

/// The same for tables of the state, except for their privileges, which administrators may choose.
///
/// # Errors
/// As [`expect_clone`].
pub async fn expect_state(client: &Client, table: &QualifiedName) -> Result<()> {
    let owner: String = client.query_one("select current_user::text", &[]).await?.try_get(0)?;
    let meant = of_own(&Ident::new(owner), "p");
    settle(client, table, &meant, |kind| !kind.is_shape() && kind != FeatureKind::Grant).await
}

/// The same error after the migration has begun: a person must decide.
#[must_use]
pub fn begun(error: Error) -> Error {
    if error.kind == Kind::Refused { error.with_kind(Kind::NeedsPerson) } else { error }
}

/// The features of both tables before the swap.
#[derive(Debug)]
pub struct Before {
    query: tokio_postgres::Statement,
    incoming: Vec<Feature>,
    outgoing: Vec<Feature>,
}

impl Before {
    /// Reads them.
    pub async fn read(client: &Client, incoming: u32, outgoing: u32) -> Result<Self> {
        let query = Feature::prepare(client).await?;
        let incoming = Feature::list_by(client, &query, incoming).await?;
        let outgoing = Feature::list_by(client, &query, outgoing).await?;
        Ok(Before { query, incoming, outgoing })
    }

    /// Makes sure that both tables have the expected features at the end of the swap, in its transaction.
    ///
    /// # Errors
    /// [`Kind::NeedsPerson`] if something else changed one of them.
    pub async fn expect_swapped(
        &self,
        client: &Client,
        (incoming, outgoing): (u32, u32),
        name: &QualifiedName,
    ) -> Result<()> {
        let meant = of_swapped(&self.incoming, &self.outgoing);
        // The replica identity is set together with its index.
        let is_compared = |kind: FeatureKind| !kind.is_shape() && kind != FeatureKind::ReplicaIdentity;
        let found = Feature::list_by(client, &self.query, incoming).await?;
        let mut all = differences(name, &meant, &found, is_compared);
        let (meant, found) =
            (of_shadow(&self.outgoing), Feature::list_by(client, &self.query, outgoing).await?);
        all.extend(differences(name, &meant, &found, is_compared));
        match all.first() {
            None => Ok(()),
            Some(difference) => Err(Error::needs_person(format!(
                "something in the database changes {} during the swap: {}",
                name.shown(),
                difference.what
            ))
            .hint(hint(client).await?)),
        }
    }
}

/// Removes the differences, once. Refuses the change if they reappear.
async fn settle(
    client: &Client,
    table: &QualifiedName,
    meant: &[Feature],
    is_compared: impl Fn(FeatureKind) -> bool,
) -> Result<()> {
    let oid = find_table(client, &table.to_string()).await?;
    let oid = oid.ok_or_else(|| Error::failed(format!("{} does not exist any more", table.shown())))?;
    let look = async || -> Result<Vec<Difference>> {
        Ok(differences(table, meant, &Feature::list(client, oid).await?, &is_compared))
    };
    let found = look().await?;
    if found.is_empty() {
        return Ok(());
    }
    // Read now: after an error the transaction rejects queries.
    let hint = hint(client).await?;
    let refused = |difference: &Difference| Error::refused(Code::EventTrigger, words(difference)).hint(&hint);
    for difference in found {
        let Some(remedy) = &difference.remedy else { return Err(refused(&difference)) };
        tracing::info!(table = %table.shown(), what = difference.what, "removing what something else added");
        if let Err(error) = client.batch_execute(remedy).await {
            let error = Error::from(error);
            if error.sqlstate.is_none() {
                return Err(error);
            }
            let text = words(&difference);
            return Err(error.context(text).refused_as(Code::EventTrigger).hint(&hint));
        }
    }
    match look().await?.first() {
        None => Ok(()),
        Some(difference) => Err(refused(difference)),
    }
}

fn words(difference: &Difference) -> String {
    format!("something in the database changes every table that is created: {}", difference.what)
}

async fn hint(client: &Client) -> Result<String> {
    let names: Vec<String> =
        event_triggers(client).await?.into_iter().map(|name| Ident::new(name).shown()).collect();
    let known = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    Ok(format!(
        "Let the event trigger{known} leave out schemas whose names begin with pgrecast, or disable it until the swap."
    ))
}
