//! The blueprint of a table change, stored in rows.

use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::name::{Fragment, Ident, QualifiedName, sql};
use crate::plan::dependents::Build;
use crate::plan::mapping::Origin;
use crate::plan::{Blueprint, Dependent, KeyColumn, Kind, Mapping, Output, Side};

/// Records a blueprint, in the open transaction of `client`.
pub async fn store(client: &Client, table_change: i64, blueprint: &Blueprint) -> Result<()> {
    for (direction, mapping) in [("forward", &blueprint.forward), ("reverse", &blueprint.reverse)] {
        let insert = client.prepare(&sql!("state/insert_mapping.sql").text()).await?;
        for (level, outputs) in (0i32..).zip(&mapping.levels) {
            for (ordinal, output) in (0i32..).zip(outputs) {
                let from = output.from.as_ref().map(Ident::as_str);
                client
                    .execute(
                        &insert,
                        &[
                            &table_change,
                            &direction,
                            &level,
                            &ordinal,
                            &output.name.as_str(),
                            &output.expression.as_str(),
                            &from,
                            &output.origin.as_str(),
                        ],
                    )
                    .await?;
            }
        }
    }
    for (ordinal, column) in (0i32..).zip(&blueprint.key) {
        client
            .execute(
                &sql!("state/insert_key_column.sql").text(),
                &[
                    &table_change,
                    &ordinal,
                    &column.original.as_str(),
                    &column.new.as_str(),
                    &column.original_operator.as_str(),
                    &column.new_operator.as_str(),
                ],
            )
            .await?;
    }
    for dependent in &blueprint.dependents {
        let other = dependent.other_table.as_ref();
        client
            .execute(
                &sql!("state/insert_dependent.sql").text(),
                &[
                    &table_change,
                    &dependent.side.as_str(),
                    &dependent.kind.as_str(),
                    &dependent.name.as_str(),
                    &dependent.table.schema.as_str(),
                    &dependent.table.name.as_str(),
                    &other.map(|table| table.schema.as_str()),
                    &other.map(|table| table.name.as_str()),
                    &dependent.create,
                    &dependent.drop,
                    &dependent.validate,
                    &dependent.bytes,
                    &(dependent.build.statements as i32),
                    &dependent.build.refuses_rows,
                    &dependent.role.as_ref().map(Ident::as_str),
                ],
            )
            .await?;
    }
    Ok(())
}

/// The mapping of one direction (`forward` or `reverse`).
pub async fn load_mapping(client: &Client, table_change: i64, direction: &str) -> Result<Mapping> {
    let rows = client.query(&sql!("state/list_mapping.sql").text(), &[&table_change, &direction]).await?;
    let mut mapping = Mapping::default();
    for row in rows {
        let level: i32 = row.try_get("level")?;
        if mapping.levels.len() <= level as usize {
            mapping.levels.push(Vec::new());
        }
        let origin: &str = row.try_get("origin")?;
        let output = Output {
            name: Ident::new(row.try_get::<_, String>("name")?),
            expression: Fragment::trusted(row.try_get::<_, String>("expression")?),
            from: row.try_get::<_, Option<String>>("from_column")?.map(Ident::new),
            origin: Origin::parse(origin)
                .ok_or_else(|| Error::failed(format!("the state has an unknown origin {origin:?}")))?,
        };
        if let Some(outputs) = mapping.levels.last_mut() {
            outputs.push(output);
        }
    }
    if mapping.levels.is_empty() {
        return Err(Error::failed("the mapping of this table is missing in the state")
            .hint("Was schema \"pgrecast\" changed by hand? `pgrecast abort` undoes the migration."));
    }
    Ok(mapping)
}

/// The shared key.
pub async fn load_key(client: &Client, table_change: i64) -> Result<Vec<KeyColumn>> {
    let rows = client.query(&sql!("state/list_key_columns.sql").text(), &[&table_change]).await?;
    rows.iter()
        .map(|row| {
            Ok(KeyColumn {
                original: Ident::new(row.try_get::<_, String>("original_column")?),
                new: Ident::new(row.try_get::<_, String>("new_column")?),
                original_operator: Fragment::trusted(row.try_get::<_, String>("original_operator")?),
                new_operator: Fragment::trusted(row.try_get::<_, String>("new_operator")?),
            })
        })
        .collect()
}

/// A dependent with its id in the state.
#[derive(Debug, Clone)]
pub struct StoredDependent {
    /// Its id in the state.
    pub id: i64,
    /// The dependent.
    pub dependent: Dependent,
    /// Whether it was created on the new shape.
    pub is_made: bool,
    /// Whether it was validated after the swap.
    pub is_validated: bool,
}

/// The dependents of one shape, the largest first.
pub async fn load_dependents(client: &Client, table_change: i64, side: Side) -> Result<Vec<StoredDependent>> {
    let rows =
        client.query(&sql!("state/list_dependents.sql").text(), &[&table_change, &side.as_str()]).await?;
    rows.iter()
        .map(|row| {
            let kind: String = row.try_get("kind")?;
            let other: (Option<String>, Option<String>) =
                (row.try_get("other_schema")?, row.try_get("other_table")?);
            Ok(StoredDependent {
                id: row.try_get("id")?,
                dependent: Dependent {
                    side,
                    kind: Kind::parse(&kind)
                        .ok_or_else(|| Error::failed(format!("the state has an unknown kind {kind:?}")))?,
                    name: Ident::new(row.try_get::<_, String>("name")?),
                    table: QualifiedName::new(
                        row.try_get::<_, String>("schema_name")?,
                        row.try_get::<_, String>("table_name")?,
                    ),
                    other_table: other.0.zip(other.1).map(|(schema, name)| QualifiedName::new(schema, name)),
                    role: row.try_get::<_, Option<String>>("role_name")?.map(Ident::new),
                    create: row.try_get("create_statements")?,
                    drop: row.try_get("drop_statement")?,
                    validate: row.try_get("validate_statement")?,
                    bytes: row.try_get("bytes")?,
                    build: Build {
                        statements: row.try_get::<_, i32>("build_statements")?.unsigned_abs() as usize,
                        refuses_rows: row.try_get("refuses_rows")?,
                    },
                },
                is_made: row.try_get("is_made")?,
                is_validated: row.try_get("is_validated")?,
            })
        })
        .collect()
}

/// Records that a dependent exists; in the transaction that created it.
pub async fn mark_made(client: &Client, id: i64) -> Result<()> {
    client.execute("update pgrecast.dependent set made_at = clock_timestamp() where id = $1", &[&id]).await?;
    Ok(())
}

/// Records that a dependent was validated; in the transaction that did it.
pub async fn mark_validated(client: &Client, id: i64) -> Result<()> {
    client
        .execute("update pgrecast.dependent set validated_at = clock_timestamp() where id = $1", &[&id])
        .await?;
    Ok(())
}
