//! The steps of a change without a copy, one row each.

use tokio_postgres::{Client, Row};

use crate::alter::LockMode;
use crate::error::{Error, Result};
use crate::name::{Ident, QualifiedName, sql};
use crate::plan::in_place::{How, Step};

/// A step and its progress.
#[derive(Debug, Clone)]
pub struct StoredStep {
    /// Its position, from 1.
    pub ordinal: i32,
    /// The step.
    pub step: Step,
    /// Whether a run has begun work that is not in a transaction.
    pub is_begun: bool,
    /// Whether it is done.
    pub is_done: bool,
    /// The oid of the index or constraint that it created, or of the index that it drops.
    pub object_oid: Option<u32>,
}

/// Records the steps, in the open transaction of `client`.
pub async fn store_steps(client: &Client, table_change: i64, steps: &[Step]) -> Result<()> {
    let insert = client.prepare(&sql!("state/insert_step.sql").text()).await?;
    for (ordinal, step) in (1i32..).zip(steps) {
        let (mut mode, mut leading, mut following, mut object, mut oid) =
            (None, Vec::new(), Vec::new(), None, None);
        let how = match &step.how {
            How::UnderLock { mode: lock, leading: before, following: after, makes } => {
                (mode, object) = (Some(lock.as_str()), makes.as_ref().map(Ident::as_str));
                (leading, following) = (names(before), names(after));
                "under lock"
            }
            How::Online => "online",
            How::MakeIndex(index) => {
                object = Some(index.as_str());
                "make index"
            }
            How::DropIndex(index) => {
                oid = Some(*index);
                "drop index"
            }
        };
        client
            .execute(
                &insert,
                &[
                    &table_change,
                    &ordinal,
                    &how,
                    &mode,
                    &leading,
                    &following,
                    &object,
                    &oid,
                    &step.statements,
                ],
            )
            .await?;
    }
    Ok(())
}

/// The steps of a table change, in order; none for a copy.
pub async fn load_steps(client: &Client, table_change: i64) -> Result<Vec<StoredStep>> {
    let rows = client.query(&sql!("state/list_steps.sql").text(), &[&table_change]).await?;
    rows.iter().map(from_row).collect()
}

/// Records that a step has begun whose work is not in a transaction.
pub async fn mark_begun(client: &Client, table_change: i64, ordinal: i32) -> Result<()> {
    const TEXT: &str =
        "update pgrecast.step set begun_at = clock_timestamp() where table_change_id = $1 and ordinal = $2";
    client.execute(TEXT, &[&table_change, &ordinal]).await?;
    Ok(())
}

/// Records that a step is done, the object that it created, and the new definition of the table.
pub async fn mark_done(
    client: &Client,
    table_change: i64,
    ordinal: i32,
    made: Option<u32>,
    fingerprint: &str,
) -> Result<()> {
    const STEP: &str =
        "update pgrecast.step set done_at = clock_timestamp(), object_oid = coalesce($3, object_oid)
         where table_change_id = $1 and ordinal = $2";
    const TABLE: &str = "update pgrecast.table_change set fingerprint = $2 where id = $1";
    client.execute(STEP, &[&table_change, &ordinal, &made]).await?;
    client.execute(TABLE, &[&table_change, &fingerprint]).await?;
    Ok(())
}

/// Records that a step is undone.
pub async fn mark_undone(client: &Client, table_change: i64, ordinal: i32) -> Result<()> {
    const TEXT: &str = "update pgrecast.step set done_at = null, begun_at = null, object_oid = null
         where table_change_id = $1 and ordinal = $2";
    client.execute(TEXT, &[&table_change, &ordinal]).await?;
    Ok(())
}

fn names(tables: &[QualifiedName]) -> Vec<String> {
    tables
        .iter()
        .flat_map(|table| [table.schema.as_str().to_owned(), table.name.as_str().to_owned()])
        .collect()
}

fn from_row(row: &Row) -> Result<StoredStep> {
    let tables = |column: &str| -> Result<Vec<QualifiedName>> {
        let parts: Vec<String> = row.try_get(column)?;
        Ok(parts.chunks_exact(2).map(|pair| QualifiedName::new(pair[0].clone(), pair[1].clone())).collect())
    };
    let object: Option<Ident> = row.try_get::<_, Option<String>>("object_name")?.map(Ident::new);
    let object_oid: Option<u32> = row.try_get("object_oid")?;
    let lost = || Error::failed("the index of a step is missing in the state");
    let unknown = |what: &str| Error::failed(format!("the state has an unknown step: {what:?}"));
    let how = match row.try_get::<_, &str>("how")? {
        "under lock" => {
            let mode: &str = row.try_get("lock_mode")?;
            How::UnderLock {
                mode: LockMode::parse(mode).ok_or_else(|| unknown(mode))?,
                leading: tables("locked_before")?,
                following: tables("locked_after")?,
                makes: object.clone(),
            }
        }
        "online" => How::Online,
        "make index" => How::MakeIndex(object.ok_or_else(lost)?),
        "drop index" => How::DropIndex(object_oid.ok_or_else(lost)?),
        other => return Err(unknown(other)),
    };
    Ok(StoredStep {
        ordinal: row.try_get("ordinal")?,
        step: Step { how, statements: row.try_get("statements")? },
        is_begun: row.try_get("is_begun")?,
        is_done: row.try_get("is_done")?,
        object_oid,
    })
}
