//! A pair: two tables, and how rows of one are transferred to the other. Forward is original to shadow, reverse is new
//! to retired. Copy, replay and verify use the same code for both directions.
//!
//! Pure: `run/pairs.rs` reads the parts of a pair. In reading order: this file, the `key` that both tables share, the
//! `echo` of reverse rounds, and `fill`, which fills the statements.

mod echo;
mod fill;
mod key;

pub use key::KeyPart;

use crate::catalog::Column;
use crate::error::{Error, Result};
use crate::name::{Fragment, Ident, QualifiedName};
use crate::plan::cast::image;
use crate::plan::mapping::Origin;
use crate::plan::{KeyColumn, Mapping};
use crate::state::TableChange;
use key::Key;

/// The direction of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Original to shadow, before the swap.
    Forward,
    /// New to retired, after the swap.
    Reverse,
}

impl Direction {
    /// The word in the names of logs and key sets.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Forward => "forward",
            Direction::Reverse => "reverse",
        }
    }
}

/// Two tables, the mapping between them, and the log of changes that are not replayed yet.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The direction.
    pub direction: Direction,
    /// The table that rows come from.
    pub from: QualifiedName,
    /// Its oid.
    pub from_oid: u32,
    /// The table that rows go to.
    pub to: QualifiedName,
    /// Its oid.
    pub to_oid: u32,
    /// The table change to which it belongs.
    pub table_change: i64,
    /// The capture function.
    pub capture: QualifiedName,
    /// Keys of changed rows, written by the capture triggers.
    pub log: QualifiedName,
    /// The set of keys that a round processes.
    pub keys: QualifiedName,
    /// Rows that a round has taken out.
    pub held: QualifiedName,
    key: Key,
    mapping: Mapping,
    from_columns: Vec<Column>,
    to_columns: Vec<Column>,
    /// In reverse direction: how a row of `to` is mapped to `from`'s shape.
    echo: Option<Mapping>,
    /// In reverse direction: which rows of `to` the change kept.
    kept: Option<Fragment>,
}

/// The parts of a pair.
#[derive(Debug)]
pub struct Known {
    /// From original to shadow.
    pub forward: Mapping,
    /// From new to retired; only needed in reverse direction.
    pub reverse: Option<Mapping>,
    /// The shared key.
    pub key: Vec<KeyColumn>,
    /// The columns of `from`.
    pub from_columns: Vec<Column>,
    /// The columns of `to`.
    pub to_columns: Vec<Column>,
}

impl Pair {
    /// The pair of a table change, in one direction.
    ///
    /// # Errors
    /// If the shadow does not exist yet, or a column of the key does not exist any more.
    pub fn new(change: &TableChange, direction: Direction, known: Known) -> Result<Self> {
        let shadow_oid = change.shadow_oid.ok_or_else(|| Error::failed("the shadow does not exist yet"))?;
        let Known { mut forward, reverse, key, from_columns, to_columns } = known;
        let filter = change.asked.filter.clone().map(Fragment::trusted);
        let (oids, to, mapping, echo, kept) = match direction {
            Direction::Forward => {
                forward.filter = filter;
                ((change.original_oid, shadow_oid), change.shadow(), forward, None, None)
            }
            Direction::Reverse => {
                let reverse = reverse.ok_or_else(|| Error::failed("the reverse mapping is missing"))?;
                ((shadow_oid, change.original_oid), change.retired(), reverse, Some(forward), filter)
            }
        };
        let key = key
            .into_iter()
            .map(|column| key_part(column, direction, &mapping, &from_columns, &to_columns))
            .collect::<Result<_>>()?;
        let own = |what: &str| change.own(&format!("{what}_{}", direction.as_str()));
        Ok(Pair {
            direction,
            from: change.name.clone(),
            from_oid: oids.0,
            to,
            to_oid: oids.1,
            table_change: change.id,
            capture: own("capture"),
            log: own("log"),
            keys: own("keys"),
            held: own("held"),
            key: Key(key),
            mapping,
            from_columns,
            to_columns,
            echo,
            kept,
        })
    }

    /// The expected images of all compared columns (`f`) and the actual ones (`t`).
    #[must_use]
    pub fn images(&self) -> (Fragment, Fragment) {
        let pick = |side: fn(usize, &Ident) -> String| {
            let outputs = self.mapping.columns().iter().enumerate();
            let compared = outputs.filter(|(_, output)| output.origin != Origin::PerRow);
            let images = compared.filter_map(|(n, output)| {
                let column = self.to_columns.iter().find(|column| column.name == output.name)?;
                Some(image(&Fragment::trusted(side(n + 1, &output.name)), column))
            });
            Fragment::join(images, ", ")
        };
        (pick(|n, _| format!("f.c{n}")), pick(|_, name| format!("t.{name}")))
    }

    /// The expected images of the key in `to` (`f`) and the actual ones (`t`), for slices.
    #[must_use]
    pub fn key_images(&self) -> (Fragment, Fragment) {
        let keys = &self.key.0;
        let from = keys.iter().enumerate().map(|(n, key)| image(&key.value(n), &key.to));
        let to = keys.iter().map(|key| image(&Fragment::trusted(format!("t.{}", key.to.name)), &key.to));
        (Fragment::join(from, ", "), Fragment::join(to, ", "))
    }

    /// The key's columns in `from`.
    #[must_use]
    pub fn from_key(&self) -> Vec<&Ident> {
        self.key.0.iter().map(|key| &key.from.name).collect()
    }

    /// The condition that a log entry changes the key of a row.
    #[must_use]
    pub fn moves(&self) -> Fragment {
        self.key.moves()
    }

    /// Whether rows of `to` contain something that their `from` rows do not: additional columns, or values that the
    /// conversion lost.
    #[must_use]
    pub fn has_memory(&self) -> bool {
        self.direction == Direction::Reverse && (self.needs_echo() || !self.kept_columns().is_empty())
    }

    /// Whether two rows with different keys certainly have different keys in `to`. If not, only the row count of a
    /// round can detect that two rows became one.
    #[must_use]
    pub fn keeps_keys_apart(&self) -> bool {
        self.key.is_kept_apart(&self.mapping)
    }

    /// Whether rows are left out, so that the tables do not grow equally.
    #[must_use]
    pub fn leaves_rows_out(&self) -> bool {
        self.mapping.filter.is_some() || self.kept.is_some()
    }

    fn source(&self) -> Fragment {
        let key: Vec<Ident> = self.key.0.iter().map(|key| key.from.name.clone()).collect();
        self.mapping.source(&self.from, &key)
    }

    fn assignments(&self) -> Fragment {
        let outputs = self.mapping.columns().iter().zip(self.desired());
        Fragment::join(outputs.map(|(output, value)| format!("{} = {value}", output.name)), ", ")
    }

    /// The condition for a row of `to` that should not exist. In reverse direction the retired table also has rows that
    /// `--where` left out. CASE makes sure that the user's condition is only evaluated for rows without a counterpart:
    /// for others it might fail.
    fn is_too_many(&self) -> Fragment {
        let (source, matches) = (self.source(), self.key.to_matches_source());
        let missing = format!("not exists (select from {source} f where {matches})");
        let Some(kept) = &self.kept else { return Fragment::trusted(missing) };
        // The user's condition refers to the table by its name, which may be anything, even `t`.
        let (table, alias) = (&self.to, &self.to.name);
        Fragment::trusted(format!(
            "case when {missing} then exists (select from (select t.ctid as \"pgrecast tid\") \"pgrecast row\", only {table} as {alias} \
             where {alias}.ctid = \"pgrecast row\".\"pgrecast tid\" and ({kept})) else false end"
        ))
    }

    /// Replaces the pending keys if a snapshot sees none: the server then omits the search for each row.
    #[must_use]
    pub fn nothing_pending(&self) -> Fragment {
        Fragment::trusted(format!("(select {} from {} where false)", self.key.numbered("k"), self.keys))
    }

    /// Keys with a change that is not replayed yet: in the key set, or still in the log.
    fn pending(&self) -> Fragment {
        let list = |prefix: &str| self.key.renamed(prefix, "k");
        Fragment::trusted(format!(
            "(select {} from {} union all select {} from {} where o1 is distinct from null union all select {} from {} \
             where n1 is distinct from null)",
            list("k"),
            self.keys,
            list("o"),
            self.log,
            list("n"),
            self.log
        ))
    }
}

/// A column of the key on both sides.
fn key_part(
    column: KeyColumn,
    direction: Direction,
    mapping: &Mapping,
    from_columns: &[Column],
    to_columns: &[Column],
) -> Result<KeyPart> {
    let KeyColumn { original, new, original_operator, new_operator } = column;
    let (original, new) = ((original, original_operator), (new, new_operator));
    let ((from, from_operator), (to, to_operator)) = match direction {
        Direction::Forward => (original, new),
        Direction::Reverse => (new, original),
    };
    let gone = |name: &Ident| {
        Error::needs_person(format!("column {} of the key does not exist any more", name.shown()))
            .because(
                "another session has altered its table: writes to it fail while the capture triggers use that name",
            )
            .hint("Undo that change, or end the migration: `pgrecast abort`.")
    };
    let find = |columns: &[Column], name: &Ident| {
        columns.iter().find(|column| column.name == *name).cloned().ok_or_else(|| gone(name))
    };
    let output = mapping.columns().iter().position(|output| output.name == to);
    let (from, to) = (find(from_columns, &from)?, find(to_columns, &to)?);
    if output.is_none() && !(from.is_generated && to.is_generated) {
        return Err(Error::failed(format!("nothing fills column {} of the key", to.name.shown())));
    }
    Ok(KeyPart { from, to, from_operator, to_operator, output })
}
