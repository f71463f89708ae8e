//! How a row of one table is mapped to a row of the other.
//!
//! A mapping is a chain of levels. Each level computes named columns from those of the level before. The first level
//! reads the table itself, and the last one returns the columns of the other table. One level is nearly always enough.
//! A second level is needed if a USING expression refers to a shape that an earlier statement of the same change
//! created.

use crate::alter::ActionKind;
use crate::catalog::Column;
use crate::name::{Fragment, Ident, QualifiedName};

use super::cast::assign;

/// One column that a level computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name in this level; in the last level, the column of the `to` table.
    pub name: Ident,
    /// The expression over the level before, whose alias is the table's own name.
    pub expression: Fragment,
    /// The column of the `from` table from which the value comes, if any.
    pub from: Option<Ident>,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where the value of an output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The unchanged value of a column.
    Column,
    /// A column's value, converted by one assignment cast.
    Cast,
    /// An expression over only this column: a USING clause, or several casts.
    Using,
    /// An expression over other columns too: the old value alone does not determine the new one.
    UsingOthers,
    /// One value for all existing rows, in a column that the change adds.
    Default,
    /// NULL for existing rows: a column added without a default.
    Null,
    /// A different value for each row: computed when the row is inserted, then not changed and never compared.
    PerRow,
}

impl Origin {
    /// All of them.
    pub const ALL: [Origin; 7] = [
        Origin::Column,
        Origin::Cast,
        Origin::Using,
        Origin::UsingOthers,
        Origin::Default,
        Origin::Null,
        Origin::PerRow,
    ];

    /// Its name in the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Column => "column",
            Origin::Cast => "cast",
            Origin::Using => "using",
            Origin::UsingOthers => "using others",
            Origin::Default => "default",
            Origin::Null => "null",
            Origin::PerRow => "per row",
        }
    }

    /// The inverse of [`Origin::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == text)
    }

    /// The origin of the value after an assignment cast to another type.
    fn cast(self) -> Self {
        match self {
            Origin::Column => Origin::Cast,
            Origin::Cast => Origin::Using,
            other => other,
        }
    }
}

/// The value of an added column in existing rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// One value for all rows.
    Same(Fragment),
    /// NULL.
    Null,
    /// A different value for each row: a volatile default, a sequence.
    Each,
}

/// How rows of `from` are mapped to rows of `to`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// The levels, starting at the table; the last one returns the columns of `to`.
    pub levels: Vec<Vec<Output>>,
    /// The condition for rows of `from`, over the columns of `from`; all rows if there is none.
    pub filter: Option<Fragment>,
}

impl Mapping {
    /// The columns of `to` that are filled.
    #[must_use]
    pub fn columns(&self) -> &[Output] {
        self.levels.last().map_or(&[], Vec::as_slice)
    }

    /// The `to` column for this `from` column.
    #[must_use]
    pub fn target_of(&self, from: &Ident) -> Option<&Output> {
        self.columns().iter().find(|output| output.from.as_ref() == Some(from))
    }

    /// For each output, the value of an inserted row, where `f` is a row of [`Mapping::source`].
    pub fn values(&self) -> impl Iterator<Item = String> {
        let outputs = self.columns().iter().enumerate();
        outputs.map(|(n, o)| {
            if o.origin == Origin::PerRow { o.expression.to_string() } else { format!("f.c{}", n + 1) }
        })
    }

    /// A sub-select over `from` with the columns `tid`, `k1..` (the key in `from`), `r1..` (the value in `from` for
    /// each output, NULL if there is none) and `c1..` (the outputs, in order). The planner flattens it, so that
    /// conditions on `tid` and `k1` can use the table's TID range scan and indexes.
    ///
    /// # Panics
    /// If there is no level. Every mapping has one.
    #[must_use]
    pub fn source(&self, from: &QualifiedName, key: &[Ident]) -> Fragment {
        self.source_as(from, &from.name, key)
    }

    /// The same for a table with another name: `alias` is the name that the expressions use.
    ///
    /// # Panics
    /// If there is no level. Every mapping has one.
    #[must_use]
    pub fn source_as(&self, from: &QualifiedName, alias: &Ident, key: &[Ident]) -> Fragment {
        let which = self.filter.as_ref().map(|filter| format!(" where ({filter})")).unwrap_or_default();
        let table = format!("only {from} as {alias}");
        // The condition belongs to the innermost level: only this level has all columns of the table.
        let is_single = self.levels.len() == 1;
        let mut input = if is_single { format!("{table}{which}") } else { table.clone() };
        let mut hidden: Vec<String> = vec![format!("{alias}.ctid")];
        hidden.extend(key.iter().map(|column| format!("{alias}.{column}")));
        let raw = self.columns().iter().map(|output| match &output.from {
            Some(column) => format!("{alias}.{column}"),
            None => "null::pg_catalog.text".to_owned(),
        });
        hidden.extend(raw);
        let hidden_names: Vec<String> = std::iter::once("tid".to_owned())
            .chain((1..=key.len()).map(|n| format!("k{n}")))
            .chain((1..=self.columns().len()).map(|n| format!("r{n}")))
            .collect();
        let (last, inner) = self.levels.split_last().expect("a mapping has a level");
        for level in inner {
            // Inside, the hidden columns have names that a user's column is unlikely to have.
            let mut items: Vec<String> = hidden
                .iter()
                .zip(&hidden_names)
                .map(|(expression, name)| format!("{expression} as \"pgrecast {name}\""))
                .collect();
            items.extend(level.iter().map(|o| format!("{} as {}", o.expression, o.name)));
            let which = if input == table { which.as_str() } else { "" };
            input = format!("(select {} from {input}{which}) as {alias}", items.join(", "));
            hidden = hidden_names.iter().map(|name| format!("{alias}.\"pgrecast {name}\"")).collect();
        }
        let mut items: Vec<String> = hidden
            .iter()
            .zip(&hidden_names)
            .map(|(expression, name)| format!("{expression} as {name}"))
            .collect();
        // A volatile expression here would prevent the planner from flattening the sub-select.
        items.extend(last.iter().enumerate().map(|(n, o)| match o.origin {
            Origin::PerRow => format!("null as c{}", n + 1),
            _ => format!("{} as c{}", o.expression, n + 1),
        }));
        Fragment::trusted(format!("(select {} from {input})", items.join(", ")))
    }
}

/// Follows the columns of a table through the statements of a change.
#[derive(Debug)]
pub struct Tracker {
    alias: Ident,
    finished: Vec<Vec<Output>>,
    /// The columns by attribute number of the shadow, and what fills each so far.
    current: Vec<Tracked>,
    /// Columns that were added with a different value for each row, as they were then.
    each: Vec<Column>,
    columns: Vec<Column>,
}

#[derive(Debug, Clone)]
struct Tracked {
    number: i16,
    /// `None`: the change added it.
    from: Option<Ident>,
    expression: Fragment,
    /// Whether the column is still the column of the same name in the level's input.
    is_untouched: bool,
    origin: Origin,
}

impl Tracker {
    /// Starts with the shadow as LIKE created it: the live columns of the original, in their order.
    #[must_use]
    pub fn new(table: &Ident, columns: Vec<Column>) -> Self {
        let current = columns
            .iter()
            .filter(|column| !column.is_generated)
            .map(|column| Tracked {
                number: column.number,
                from: Some(column.name.clone()),
                expression: reference(table, &column.name),
                is_untouched: true,
                origin: Origin::Column,
            })
            .collect();
        Tracker { alias: table.clone(), finished: Vec::new(), current, each: Vec::new(), columns }
    }

    /// The columns after the last statement.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Records what one statement did: its actions, the columns whose USING reads other columns too, the columns that
    /// it adds, as they are added, and all columns after it.
    pub fn follow(
        &mut self,
        actions: &[ActionKind],
        mixed: &[Ident],
        added: Vec<(Column, Given)>,
        after: Vec<Column>,
    ) {
        let has_using = actions.iter().any(|a| matches!(a, ActionKind::SetType { using: Some(_), .. }));
        if has_using && self.current.iter().any(|tracked| !tracked.is_untouched) {
            self.close_level();
        }
        let mut next = Vec::new();
        for tracked in &self.current {
            let (Some(before), Some(now)) =
                (find(&self.columns, tracked.number), find(&after, tracked.number))
            else {
                continue; // dropped
            };
            let using = actions.iter().find_map(|action| match action {
                ActionKind::SetType { column, using: Some(using) } if *column == before.name => Some(using),
                _ => None,
            });
            let is_cast = before.type_name != now.type_name;
            let (expression, origin) = match using {
                Some(using) => {
                    let reads_others = tracked.origin == Origin::UsingOthers || mixed.contains(&before.name);
                    let origin = if reads_others { Origin::UsingOthers } else { Origin::Using };
                    (assign(&Fragment::trusted(using.clone()), now), origin)
                }
                None if is_cast => (assign(&tracked.expression, now), tracked.origin.cast()),
                None => (tracked.expression.clone(), tracked.origin),
            };
            let is_untouched =
                tracked.is_untouched && expression == tracked.expression && before.name == now.name;
            next.push(Tracked { expression, is_untouched, origin, ..tracked.clone() });
        }
        // A generated column whose expression was dropped is an ordinary column from now on, and keeps its values.
        for now in after.iter().filter(|column| !column.is_generated) {
            let was_generated = find(&self.columns, now.number).filter(|before| before.is_generated);
            // (If the change itself added the column, there are no values to keep: `finish` reports that.)
            if let Some(before) = was_generated.filter(|_| find(&self.each, now.number).is_none()) {
                next.push(Tracked {
                    number: now.number,
                    from: Some(before.name.clone()),
                    expression: reference(&self.alias, &before.name),
                    is_untouched: true,
                    origin: Origin::Column,
                });
            }
        }
        for (column, given) in added {
            let (expression, origin) = match given {
                Given::Same(expression) => (expression, Origin::Default),
                Given::Null => (assign(&Fragment::trusted("null"), &column), Origin::Null),
                Given::Each => {
                    self.each.push(column);
                    continue;
                }
            };
            next.push(Tracked { number: column.number, from: None, expression, is_untouched: false, origin });
        }
        next.retain(|tracked| find(&after, tracked.number).is_some_and(|column| !column.is_generated));
        self.current = next;
        self.columns = after;
    }

    /// The finished mapping onto the columns as they are now.
    ///
    /// # Errors
    /// A sentence about a column whose values for existing rows cannot be determined.
    pub fn finish(mut self) -> Result<Mapping, String> {
        let mut last = self.outputs();
        for added in &self.each {
            let Some(now) = find(&self.columns, added.number) else { continue };
            let column = Column { name: now.name.clone(), is_not_null: now.is_not_null, ..added.clone() };
            if column == *now || now.is_generated {
                continue; // what an insert gives is what the ALTER would have given
            }
            match &added.default_expression {
                Some(default) if now.has_type_of(added) && !added.is_generated => {
                    last.push(Output {
                        name: now.name.clone(),
                        expression: Fragment::trusted(default.clone()),
                        from: None,
                        origin: Origin::PerRow,
                    });
                }
                _ => {
                    return Err(format!(
                        "column {} is added with a different value for each row, and then altered",
                        now.name.shown()
                    ));
                }
            }
        }
        self.finished.push(last);
        Ok(Mapping { levels: self.finished, filter: None })
    }

    fn outputs(&self) -> Vec<Output> {
        self.columns
            .iter()
            .filter_map(|column| {
                let tracked = self.current.iter().find(|tracked| tracked.number == column.number)?;
                Some(Output {
                    name: column.name.clone(),
                    expression: tracked.expression.clone(),
                    from: tracked.from.clone(),
                    origin: tracked.origin,
                })
            })
            .collect()
    }

    fn close_level(&mut self) {
        let level = self.outputs();
        self.finished.push(level);
        let alias = self.alias.clone();
        for tracked in &mut self.current {
            if let Some(column) = find(&self.columns, tracked.number) {
                tracked.expression = reference(&alias, &column.name);
                tracked.is_untouched = true;
            }
        }
    }
}

fn reference(alias: &Ident, column: &Ident) -> Fragment {
    Fragment::trusted(format!("{alias}.{column}"))
}

fn find(columns: &[Column], number: i16) -> Option<&Column> {
    columns.iter().find(|column| column.number == number)
}

/// The reverse mapping: how a row of the new shape is mapped to a row of the old one. `given` are the user's `--reverse
/// 'column=expression'`; all other columns use the assignment cast.
#[must_use]
pub fn reverse(
    forward: &Mapping,
    original: &[Column],
    new: &[Column],
    given: &[(Ident, Fragment)],
    table: &Ident,
) -> Mapping {
    let outputs = original
        .iter()
        .filter(|old| !old.is_generated)
        .filter_map(|old| {
            let counterpart = forward
                .target_of(&old.name)
                .and_then(|output| new.iter().find(|column| column.name == output.name));
            let asked = given.iter().find(|(name, _)| *name == old.name).map(|(_, expression)| expression);
            let (expression, origin) = match (asked, counterpart) {
                (Some(expression), _) => (assign(expression, old), Origin::Using),
                (None, Some(now)) if now.type_name == old.type_name => {
                    (reference(table, &now.name), Origin::Column)
                }
                (None, Some(now)) => (assign(&reference(table, &now.name), old), Origin::Cast),
                (None, None) => return None, // dropped: only the retired row has it
            };
            Some(Output {
                name: old.name.clone(),
                expression,
                from: counterpart.map(|column| column.name.clone()),
                origin,
            })
        })
        .collect();
    Mapping { levels: vec![outputs], filter: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::column;

    fn table() -> Ident {
        Ident::new("t")
    }

    fn set_type(column: &str, using: Option<&str>) -> ActionKind {
        ActionKind::SetType { column: Ident::new(column), using: using.map(str::to_owned) }
    }

    #[test]
    fn a_rename_keeps_its_source_and_an_added_column_has_none() {
        let mut tracker = Tracker::new(&table(), vec![column(1, "a", "integer", "int4")]);
        tracker.follow(&[], &[], vec![], vec![column(1, "b", "integer", "int4")]);
        let added = column(2, "a", "text", "text");
        let given = Given::Same(Fragment::trusted("'x'"));
        let now = vec![column(1, "b", "integer", "int4"), added.clone()];
        tracker.follow(&[], &[], vec![(added, given)], now);
        let mapping = tracker.finish().unwrap();
        assert_eq!(mapping.levels.len(), 1);
        assert_eq!(mapping.columns().len(), 2);
        assert_eq!(
            (mapping.columns()[1].from.as_ref(), mapping.columns()[1].expression.as_str()),
            (None, "'x'")
        );
        assert_eq!(mapping.columns()[0].name, Ident::new("b"));
        assert_eq!(mapping.columns()[0].expression.as_str(), "\"t\".\"a\"");
        assert_eq!(mapping.columns()[0].from, Some(Ident::new("a")));
        assert_eq!(mapping.columns()[0].origin, Origin::Column);
        assert_eq!(mapping.columns()[1].origin, Origin::Default);
    }

    #[test]
    fn a_cast_after_a_cast_and_a_using_before_a_level_are_no_single_cast() {
        let follow = |types: &[(&str, Option<&str>)]| {
            let mut tracker = Tracker::new(&table(), vec![column(1, "a", "integer", "int4")]);
            for (kind, using) in types {
                tracker.follow(&[set_type("a", *using)], &[], vec![], vec![column(1, "a", kind, kind)]);
            }
            tracker.finish().unwrap().columns()[0].origin
        };
        assert_eq!(follow(&[("bigint", None)]), Origin::Cast);
        assert_eq!(follow(&[("bigint", None), ("numeric", None)]), Origin::Using);
        assert_eq!(follow(&[("text", Some("a::text"))]), Origin::Using);
        // The second USING reads the result of the first one, in a level of its own: that column is not a plain one
        // either.
        assert_eq!(follow(&[("text", Some("a::text")), ("text", Some("lower(a)"))]), Origin::Using);
    }

    #[test]
    fn origins_read_back_as_themselves() {
        for origin in Origin::ALL {
            assert_eq!(Origin::parse(origin.as_str()), Some(origin));
        }
    }

    #[test]
    fn a_value_of_its_own_for_each_row_is_given_once_where_an_insert_gives_another_in_the_end() {
        let given = |default: Option<&str>, finally: Column| {
            let id = column(1, "id", "integer", "int4");
            let default_expression = default.map(str::to_owned);
            let added = Column { default_expression, ..column(2, "x", "uuid", "uuid") };
            let mut tracker = Tracker::new(&table(), vec![id.clone()]);
            let added_too = vec![id.clone(), added.clone()];
            tracker.follow(&[], &[], vec![(added, Given::Each)], added_too);
            tracker.follow(&[], &[], vec![], vec![id, finally]);
            tracker.finish().map(|mapping| mapping.columns().get(1).cloned())
        };
        let same = Column { default_expression: Some("f()".into()), ..column(2, "y", "uuid", "uuid") };
        assert_eq!(given(Some("f()"), same), Ok(None));
        let without = column(2, "x", "uuid", "uuid");
        let output = given(Some("f()"), without.clone()).unwrap().unwrap();
        assert_eq!((output.expression.as_str(), output.origin), ("f()", Origin::PerRow));
        assert!(given(Some("f()"), column(2, "x", "text", "text")).is_err());
        assert!(given(None, Column { identity: crate::catalog::Identity::Always, ..without }).is_err());
    }

    #[test]
    fn a_using_after_a_rename_reads_the_renamed_shape() {
        let mut tracker = Tracker::new(&table(), vec![column(1, "a", "text", "text")]);
        tracker.follow(&[], &[], vec![], vec![column(1, "b", "text", "text")]);
        tracker.follow(
            &[set_type("b", Some("length(b)"))],
            &[],
            vec![],
            vec![column(1, "b", "integer", "int4")],
        );
        let mapping = tracker.finish().unwrap();
        assert_eq!(mapping.levels.len(), 2);
        assert_eq!(mapping.levels[0][0].name, Ident::new("b"));
        assert_eq!(mapping.columns()[0].expression.as_str(), "(length(b))::integer");
        assert_eq!(
            mapping.source(&QualifiedName::new("s", "t"), &[Ident::new("a")]).as_str(),
            "(select \"t\".\"pgrecast tid\" as tid, \"t\".\"pgrecast k1\" as k1, \"t\".\"pgrecast r1\" as r1, \
             (length(b))::integer as c1 from (select \"t\".ctid as \"pgrecast tid\", \"t\".\"a\" as \
             \"pgrecast k1\", \"t\".\"a\" as \"pgrecast r1\", \"t\".\"a\" as \"b\" from only \"s\".\"t\" as \"t\") \
             as \"t\")"
        );
    }

    #[test]
    fn the_way_back_takes_what_was_given_and_leaves_dropped_columns_out() {
        let old = vec![column(1, "a", "integer", "int4"), column(2, "gone", "text", "text")];
        let new = vec![column(1, "a", "text", "text")];
        let mut tracker = Tracker::new(&table(), old.clone());
        tracker.follow(&[set_type("a", None)], &[], vec![], new.clone());
        let forward = tracker.finish().unwrap();
        let given = [(Ident::new("a"), Fragment::trusted("a::integer + 0"))];
        let back = reverse(&forward, &old, &new, &given, &table());
        assert_eq!(back.columns().len(), 1);
        assert_eq!(back.columns()[0].expression.as_str(), "(a::integer + 0)::integer");
    }
}
