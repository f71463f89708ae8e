//! A pair: rows of one table brought over to the other. Forward is original to shadow, reverse is new
//! to retired; copy, replay and verify are one code with a direction.

use tokio_postgres::Client;

use crate::catalog::{Column, find_name};
use crate::error::{Error, Result};
use crate::name::{Fragment, Ident, QualifiedName, Statement};
use crate::plan::cast::{assign, image, is_one_to_one};
use crate::plan::{KeyColumn, Mapping};
use crate::state::{TableChange, load_key, load_mapping};

/// Which way rows are brought over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Original to shadow, before the swap.
    Forward,
    /// New to retired, after it.
    Reverse,
}

impl Direction {
    /// As it stands in the names of logs and key sets.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Forward => "forward",
            Direction::Reverse => "reverse",
        }
    }
}

/// Two tables, the mapping between them, and the log of what is still to be brought over.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Which way.
    pub direction: Direction,
    /// Where rows come from.
    pub from: QualifiedName,
    /// Its oid.
    pub from_oid: u32,
    /// Where they go.
    pub to: QualifiedName,
    /// Its oid.
    pub to_oid: u32,
    /// The table change that it belongs to.
    pub table_change: i64,
    /// The function that captures.
    pub capture: QualifiedName,
    /// Keys of changed rows, written by the capture triggers.
    pub log: QualifiedName,
    /// The set of keys a round works on.
    pub keys: QualifiedName,
    /// Rows taken out in a round.
    pub held: QualifiedName,
    key: Vec<PairKey>,
    mapping: Mapping,
    from_columns: Vec<Column>,
    to_columns: Vec<Column>,
    /// For the way back: how a row of `to` looked in `from`'s shape. A value that still means the same
    /// is kept, else 12.345 would come back as 12.350 although only the note was changed.
    echo: Option<Mapping>,
    /// For the way back: which rows of `to` have come here at all.
    kept: Option<Fragment>,
}

/// How a column of the way back was filled on the way there.
struct Echo {
    place: usize,
    is_unchanged: bool,
    is_mixed: bool,
}

#[derive(Debug, Clone)]
struct PairKey {
    from: Column,
    to: Column,
    from_operator: Fragment,
    to_operator: Fragment,
}

impl Pair {
    /// Reads what is known of a table change, for one direction.
    pub async fn load(client: &Client, change: &TableChange, direction: Direction) -> Result<Self> {
        let shadow_oid = change.shadow_oid.ok_or_else(|| Error::failed("the shadow was not made yet"))?;
        let mut forward = load_mapping(client, change.id, "forward").await?;
        let key = load_key(client, change.id).await?;
        let filter = change.asked.filter.clone().map(Fragment::trusted);
        let kept = filter.clone().filter(|_| direction == Direction::Reverse);
        let (from, from_oid, to, to_oid, mapping, echo) = match direction {
            Direction::Forward => {
                forward.filter = filter;
                (change.name.clone(), change.original_oid, change.shadow(), shadow_oid, forward, None)
            }
            Direction::Reverse => {
                let reverse = load_mapping(client, change.id, "reverse").await?;
                (
                    change.name.clone(),
                    shadow_oid,
                    change.retired(),
                    change.original_oid,
                    reverse,
                    Some(forward),
                )
            }
        };
        for (oid, name) in [(from_oid, &from), (to_oid, &to)] {
            expect_table(client, change, oid, name).await?;
        }
        let from_columns = Column::list(client, from_oid).await?;
        let to_columns = Column::list(client, to_oid).await?;
        let find = |columns: &[Column], name: &Ident| {
            columns.iter().find(|column| column.name == *name).cloned().ok_or_else(|| {
                Error::needs_person(format!("column {} of the key does not exist any more", name.shown()))
                    .because("its table was altered by somebody else: writes to it fail while it is captured by that name")
                    .hint("Take that back, or give the migration up: `pgrecast abort`.")
            })
        };
        let key = key
            .into_iter()
            .map(|KeyColumn { original, new, original_operator, new_operator }| {
                let forward = direction == Direction::Forward;
                let (from, to) = if forward { (original, new) } else { (new, original) };
                let (from_operator, to_operator) = if forward {
                    (original_operator, new_operator)
                } else {
                    (new_operator, original_operator)
                };
                Ok(PairKey {
                    from: find(&from_columns, &from)?,
                    to: find(&to_columns, &to)?,
                    from_operator,
                    to_operator,
                })
            })
            .collect::<Result<_>>()?;
        let own = |what: &str| change.own(&format!("{what}_{}", direction.as_str()));
        Ok(Pair {
            direction,
            from,
            from_oid,
            to,
            to_oid,
            table_change: change.id,
            capture: own("capture"),
            log: own("log"),
            keys: own("keys"),
            held: own("held"),
            key,
            mapping,
            from_columns,
            to_columns,
            echo,
            kept,
        })
    }

    /// A statement with everything filled in that it asks for.
    #[must_use]
    pub fn fill(&self, mut statement: Statement) -> Statement {
        type Part = fn(&Pair) -> Fragment;
        let parts: [(&str, Part); 43] = [
            ("from", |pair| Fragment::join([&pair.from], "")),
            ("to", |pair| Fragment::join([&pair.to], "")),
            ("log", |pair| Fragment::join([&pair.log], "")),
            ("keys", |pair| Fragment::join([&pair.keys], "")),
            ("held", |pair| Fragment::join([&pair.held], "")),
            ("source", |pair| pair.source()),
            ("columns", |pair| Fragment::join(pair.mapping.columns().iter().map(|o| &o.name), ", ")),
            ("values", |pair| Fragment::join(pair.mapping.values(), ", ")),
            ("key_columns", |pair| pair.numbered("k", pair.key.len())),
            ("moves", Pair::moves),
            ("logged_key", |pair| Fragment::join(pair.logged_key(), ", ")),
            ("logged_hash", Pair::logged_hash),
            ("old", |pair| pair.numbered("o", pair.key.len())),
            ("new", |pair| pair.numbered("n", pair.key.len())),
            ("from_matches", Pair::matches_from),
            ("to_matches_key", |pair| pair.to_matches("k.k")),
            ("to_matches_source", Pair::to_matches_source),
            ("desired", |pair| Fragment::join(pair.desired(), ", ")),
            ("assignments", Pair::assignments),
            ("to_image", |pair| {
                Fragment::join(pair.mapping.columns().iter().map(|o| format!("t.{}", o.name)), ", ")
            }),
            ("is_too_many", Pair::is_too_many),
            ("echo", |pair| pair.echo_source(&pair.to)),
            ("held_echo", |pair| pair.echo_source(&pair.held)),
            ("echo_matches", Pair::echo_matches),
            ("kept", |pair| pair.kept(", ")),
            ("kept_values", |pair| pair.kept(", t.")),
            ("pending", Pair::pending),
            ("to_matches_new", |pair| pair.to_matches("l.n")),
            ("to_matches_origin", |pair| pair.to_matches("k.a")),
            ("new_as_key", |pair| pair.renamed("n", "k")),
            ("last_as_final", |pair| pair.renamed("l.n", "f")),
            ("last_old_as_origin", |pair| pair.renamed("l.o", "a")),
            ("walk_final", |pair| pair.numbered("w.f", pair.key.len())),
            ("walk_origin", |pair| pair.numbered("w.a", pair.key.len())),
            ("step_old", |pair| pair.numbered("s.o", pair.key.len())),
            ("step_new", |pair| pair.numbered("s.n", pair.key.len())),
            ("moved_old", |pair| pair.numbered("m.o", pair.key.len())),
            ("chained_key", |pair| pair.numbered("c.k", pair.key.len())),
            ("key_of_k", |pair| pair.numbered("k.k", pair.key.len())),
            ("origin_of_k", |pair| {
                let terms = (1..=pair.key.len())
                    .map(|n| format!("case when w.is_new is null then k.k{n} else w.a{n} end as a{n}"));
                Fragment::join(terms, ", ")
            }),
            ("final_matches_key", |pair| {
                let terms = pair.key.iter().enumerate();
                Fragment::join(
                    terms.map(|(n, key)| format!("w.f{0} {1} k.k{0}", n + 1, key.from_operator)),
                    " and ",
                )
            }),
            ("from_key", |pair| pair.shown_key((1..=pair.key.len()).map(|n| format!("f.k{n}")))),
            ("to_key", |pair| pair.shown_key(pair.key.iter().map(|key| format!("t.{}", key.to.name)))),
        ];
        for (placeholder, part) in parts {
            if statement.has(placeholder) {
                statement = statement.fill(placeholder, &part(self));
            }
        }
        statement
    }

    /// The images of all compared columns as they should be (`f`) and as they are (`t`).
    #[must_use]
    pub fn images(&self) -> (Fragment, Fragment) {
        let pick = |side: fn(usize, &Ident) -> String| {
            Fragment::join(
                self.mapping.columns().iter().enumerate().filter(|(_, o)| !o.is_once).filter_map(
                    |(n, output)| {
                        let column = self.to_columns.iter().find(|column| column.name == output.name)?;
                        Some(image(&Fragment::trusted(side(n + 1, &output.name)), column))
                    },
                ),
                ", ",
            )
        };
        (pick(|n, _| format!("f.c{n}")), pick(|_, name| format!("t.{name}")))
    }

    /// The images of the key as it should be in `to` (`f`) and as it is there (`t`): for slices.
    #[must_use]
    pub fn key_images(&self) -> (Fragment, Fragment) {
        let from = self
            .key
            .iter()
            .map(|key| image(&Fragment::trusted(format!("f.c{}", self.place_of(&key.to.name))), &key.to));
        let to = self.key.iter().map(|key| image(&Fragment::trusted(format!("t.{}", key.to.name)), &key.to));
        (Fragment::join(from, ", "), Fragment::join(to, ", "))
    }

    /// The key's columns in `from`.
    #[must_use]
    pub fn from_key(&self) -> Vec<&Ident> {
        self.key.iter().map(|key| &key.from.name).collect()
    }

    /// Columns of `to` that no column of `from` fills.
    #[must_use]
    pub fn kept_columns(&self) -> Vec<&Ident> {
        self.to_columns
            .iter()
            .filter(|column| !column.is_generated)
            .map(|column| &column.name)
            .filter(|name| !self.mapping.columns().iter().any(|output| output.name == **name))
            .collect()
    }

    /// The key as a person reads it: `id = 17, tenant = 'a'`.
    fn shown_key(&self, values: impl Iterator<Item = String>) -> Fragment {
        let parts = self.key.iter().zip(values).map(|(key, value)| {
            let label = format!("{} = ", key.from.name.shown());
            format!("{} || ({value})::pg_catalog.text", crate::name::Literal(&label))
        });
        Fragment::join(parts, " || ', ' || ")
    }

    fn source(&self) -> Fragment {
        let key: Vec<Ident> = self.key.iter().map(|key| key.from.name.clone()).collect();
        self.mapping.source(&self.from, &key)
    }

    #[allow(clippy::unused_self)] // reads well among its likes
    fn numbered(&self, prefix: &str, count: usize) -> Fragment {
        Fragment::join((1..=count).map(|n| format!("{prefix}{n}")), ", ")
    }

    /// The key's columns under another name.
    fn renamed(&self, prefix: &str, name: &str) -> Fragment {
        Fragment::join((1..=self.key.len()).map(|n| format!("{prefix}{n} as {name}{n}")), ", ")
    }

    /// Whether rows of `to` know something that their `from` rows do not: columns of their own, or
    /// values that were lost on the way.
    #[must_use]
    pub fn has_memory(&self) -> bool {
        self.direction == Direction::Reverse && (self.needs_echo() || !self.kept_columns().is_empty())
    }

    /// Whether two rows with different keys certainly have different keys in `to`. Where not, only the account
    /// that a round keeps of its rows can tell that one came to stand for two.
    #[must_use]
    pub fn keeps_keys_apart(&self) -> bool {
        self.mapping.levels.len() == 1
            && self.key.iter().all(|key| {
                let plain = Fragment::trusted(format!("{}.{}", self.from.name, key.from.name));
                let expression = &self.mapping.columns()[self.place_of(&key.to.name) - 1].expression;
                key.from.collation == key.to.collation
                    && is_one_to_one(&key.from, &key.to)
                    && (*expression == plain || *expression == assign(&plain, &key.to))
            })
    }

    /// Whether rows are left out, so that the tables do not grow alike.
    #[must_use]
    pub fn leaves_rows_out(&self) -> bool {
        self.mapping.filter.is_some() || self.kept.is_some()
    }

    /// The condition on a row of `to` that is too many: on the way back the retired table has rows that were left out.
    /// CASE, so that it is asked of such rows only: of others it was never true, and it might fail.
    fn is_too_many(&self) -> Fragment {
        let missing =
            format!("not exists (select from {} f where {})", self.source(), self.to_matches_source());
        let Some(kept) = &self.kept else { return Fragment::trusted(missing) };
        // The user's condition calls the table by its name, whatever that is: `t`, for one.
        let (table, alias) = (&self.to, &self.to.name);
        Fragment::trusted(format!(
            "case when {missing} then exists (select from (select t.ctid as \"pgrecast tid\") \"pgrecast row\", only {table} as {alias} \
             where {alias}.ctid = \"pgrecast row\".\"pgrecast tid\" and ({kept})) else false end"
        ))
    }

    /// The `from` row of a logged key.
    fn matches_from(&self) -> Fragment {
        let terms = self
            .key
            .iter()
            .enumerate()
            .map(|(n, key)| format!("f.k{0} {1} k.k{0}", n + 1, key.from_operator));
        Fragment::join(terms, " and ")
    }

    /// The `to` row of a logged key, whose columns are `prefix` and a number.
    fn to_matches(&self, prefix: &str) -> Fragment {
        let terms = self.key.iter().enumerate().map(|(n, key)| {
            let logged = Fragment::trusted(format!("{prefix}{}", n + 1));
            let mapped = if key.from.type_name == key.to.type_name {
                logged
            } else {
                match comparable(&logged, &key.from, &key.to) {
                    Some((operator, value)) => {
                        return format!("t.{} {operator} {}", key.to.name, collated(&value, &key.to));
                    }
                    None => assign(&logged, &key.to),
                }
            };
            format!("t.{} {} {}", key.to.name, key.to_operator, collated(&mapped, &key.to))
        });
        Fragment::join(terms, " and ")
    }

    fn to_matches_source(&self) -> Fragment {
        let terms = self.key.iter().map(|key| {
            let value = Fragment::trusted(format!("f.c{}", self.place_of(&key.to.name)));
            format!("t.{} {} {}", key.to.name, key.to_operator, collated(&value, &key.to))
        });
        Fragment::join(terms, " and ")
    }

    /// Place of a `to` column among the outputs, from 1.
    fn place_of(&self, to: &Ident) -> usize {
        1 + self.mapping.columns().iter().position(|output| output.name == *to).unwrap_or_default()
    }

    /// For each output the value that `to` should have; `t` is the row as it is.
    fn desired(&self) -> Vec<String> {
        let echoes = self.echoes();
        let equal = |left: String, right: String| {
            format!("row({left})::record operator(pg_catalog.*=) row({right})::record")
        };
        let outputs = self.mapping.columns().iter().zip(&echoes).enumerate();
        outputs
            .map(|(n, (output, echo))| {
                let plain = format!("f.c{}", n + 1);
                if output.is_once {
                    return format!("t.{}", output.name);
                }
                let still = match echo {
                    Some(echo) if echo.is_unchanged => return plain,
                    // A value that depends on others too is kept only if all but the key is the same.
                    Some(echo) if echo.is_mixed => {
                        let known = || {
                            echoes.iter().enumerate().filter_map(|(n, echo)| {
                                echo.as_ref().filter(|_| !self.is_key(n)).map(|echo| (n, echo))
                            })
                        };
                        equal(
                            known()
                                .map(|(_, echo)| format!("g.c{}", echo.place))
                                .collect::<Vec<_>>()
                                .join(", "),
                            known().map(|(n, _)| format!("f.r{}", n + 1)).collect::<Vec<_>>().join(", "),
                        )
                    }
                    Some(echo) => equal(format!("g.c{}", echo.place), format!("f.r{}", n + 1)),
                    None => return plain,
                };
                format!("case when {still} then t.{} else {plain} end", output.name)
            })
            .collect()
    }

    fn is_key(&self, output: usize) -> bool {
        self.key.iter().any(|key| key.to.name == self.mapping.columns()[output].name)
    }

    /// For each output where the way there is known: its place in the forward mapping.
    fn echoes(&self) -> Vec<Option<Echo>> {
        let outputs = self.mapping.columns().iter();
        outputs
            .map(|output| {
                let (forward, from) = self.echo.as_ref().zip(output.from.as_ref())?;
                let place = forward.columns().iter().position(|o| o.name == *from)?;
                let there = &forward.columns()[place];
                Some(Echo {
                    place: place + 1,
                    is_unchanged: self.is_unchanged(&output.name, from, &there.expression),
                    is_mixed: there.is_mixed,
                })
            })
            .collect()
    }

    /// Whether a value is taken over as it is in both directions.
    fn is_unchanged(&self, to: &Ident, from: &Ident, forward: &Fragment) -> bool {
        let type_of = |columns: &[Column], name: &Ident| {
            columns.iter().find(|column| column.name == *name).map(|column| column.type_name.clone())
        };
        type_of(&self.to_columns, to) == type_of(&self.from_columns, from)
            && forward.as_str() == format!("{}.{to}", self.to.name)
    }

    fn assignments(&self) -> Fragment {
        let desired = self.desired();
        let terms =
            self.mapping.columns().iter().zip(desired).map(|(o, value)| format!("{} = {value}", o.name));
        Fragment::join(terms, ", ")
    }

    fn needs_echo(&self) -> bool {
        self.desired().iter().any(|value| value.starts_with("case"))
    }

    fn echo_source(&self, table: &QualifiedName) -> Fragment {
        match &self.echo {
            Some(echo) if self.needs_echo() => {
                Fragment::trusted(format!(", {} g", echo.source_as(table, &self.to.name, &[])))
            }
            _ => Fragment::trusted(""),
        }
    }

    fn echo_matches(&self) -> Fragment {
        Fragment::trusted(if self.needs_echo() { " and g.tid = t.ctid" } else { "" })
    }

    fn kept(&self, separator: &str) -> Fragment {
        let columns = self.kept_columns();
        Fragment::join(
            std::iter::once(String::new()).chain(columns.iter().map(ToString::to_string)),
            separator,
        )
    }

    /// Whether a log entry is the move of a row from key to key.
    pub(super) fn moves(&self) -> Fragment {
        Fragment::trusted(format!(
            "o1 is distinct from null and n1 is distinct from null \
             and row({})::record operator(pg_catalog.*<>) row({})::record",
            self.numbered("o", self.key.len()),
            self.numbered("n", self.key.len())
        ))
    }

    /// The key of a log entry that is no move: the new one, or of a row that was deleted the old one.
    fn logged_key(&self) -> impl Iterator<Item = String> {
        (1..=self.key.len()).map(|n| format!("case when n1 is distinct from null then n{n} else o{n} end"))
    }

    /// A number that is the same for all entries of one key.
    fn logged_hash(&self) -> Fragment {
        let images = self.key.iter().zip(self.logged_key());
        let images = images.map(|(key, logged)| image(&Fragment::trusted(logged), &key.from));
        Fragment::trusted(format!(
            "pg_catalog.hash_record_extended(row({})::record, 0)",
            Fragment::join(images, ", ")
        ))
    }

    /// In place of the keys with a change, where a snapshot sees none: the server then leaves out the search for each row.
    #[must_use]
    pub fn nothing_pending(&self) -> Fragment {
        Fragment::trusted(format!(
            "(select {} from {} where false)",
            self.numbered("k", self.key.len()),
            self.keys
        ))
    }

    /// Keys with a change that was not brought over: in the set, or still in the log.
    fn pending(&self) -> Fragment {
        let list = |prefix: &str| self.renamed(prefix, "k");
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

/// Makes sure that a table is there and has its name.
async fn expect_table(client: &Client, change: &TableChange, oid: u32, name: &QualifiedName) -> Result<()> {
    let is_ours = *name != change.name;
    let what = if is_ours { "our table " } else { "" };
    let happened = match find_name(client, oid).await? {
        None => "does not exist any more".to_owned(),
        Some(now) if now == *name => return Ok(()),
        Some(now) => format!("was renamed or moved by somebody else: it is {} now", now.shown()),
    };
    Err(Error::needs_person(format!("{what}{} {happened}", name.shown()))
        .because(if is_ours {
            "the shadow or retired table is needed to go on"
        } else {
            "it is the table to be changed"
        })
        .hint(
            "Take that back, or give the migration up: `pgrecast abort`, after the swap `pgrecast cleanup`.",
        ))
}

/// A logged key to be compared with the key of `to` without a conversion that fails where it does not
/// fit: its row may be gone since, and then it is no matter. The operators are those of the types' own
/// btree families, so that the index is used.
fn comparable(logged: &Fragment, from: &Column, to: &Column) -> Option<(&'static str, Fragment)> {
    const EQUAL: &str = "operator(pg_catalog.=)";
    let is_plain = |column: &Column, names: &[&str]| {
        column.base_schema == "pg_catalog" && !column.is_domain && names.contains(&column.base_name.as_str())
    };
    let both = |names: &[&str]| is_plain(from, names) && is_plain(to, names);
    if both(&["int2", "int4", "int8"]) {
        return Some((EQUAL, logged.clone()));
    }
    let text = || Fragment::trusted(format!("({logged})::pg_catalog.text"));
    both(&["text", "varchar"]).then(|| (EQUAL, text()))
}

/// Two values of different collations can not be compared without saying which one counts: the
/// column's own, which is also its index's.
fn collated(value: &Fragment, column: &Column) -> Fragment {
    match &column.collation {
        Some(collation) => Fragment::trusted(format!("({value}) collate {collation}")),
        None => value.clone(),
    }
}
