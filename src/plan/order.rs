//! The order in which rows are copied, if one is asked for.

use crate::name::{Fragment, Ident};

/// An index that can be read from where one left off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderIndex {
    /// Its name.
    pub name: Ident,
    /// Whether it has each row once.
    pub is_unique: bool,
    /// Its columns with their types.
    pub columns: Vec<(Ident, String)>,
}

/// Columns by which rows are ordered; no two rows have the same values in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    columns: Vec<(Ident, String)>,
    /// So many of them are in the index that is read.
    leading: usize,
}

impl Order {
    /// By what was written: the name of an index, or the columns with which one begins.
    ///
    /// # Errors
    /// A sentence that says why it cannot be done.
    pub fn find(indexes: &[OrderIndex], written: &[Ident]) -> Result<Order, String> {
        let begins = |index: &OrderIndex| {
            index.columns.len() >= written.len()
                && index.columns.iter().zip(written).all(|((column, _), name)| column == name)
        };
        let by_name = |index: &&OrderIndex| matches!(written, [name] if *name == index.name);
        let Some(index) = indexes.iter().find(by_name).or_else(|| indexes.iter().find(|index| begins(index)))
        else {
            return Err("there is no complete btree index of that name, or that begins with these columns, whose columns are \
                 all NOT NULL, ascending, with the usual operators, of an ordinary type (no float, array or range) and a \
                 deterministic collation"
                .into());
        };
        let mut columns = index.columns.clone();
        if !index.is_unique {
            let Some(unique) = indexes.iter().find(|other| other.is_unique) else {
                return Err("no primary key or unique index on NOT NULL columns tells rows apart that are equal in it".into());
            };
            let more = unique.columns.iter().filter(|column| !index.columns.contains(column));
            columns.extend(more.cloned());
        }
        Ok(Order { columns, leading: index.columns.len() })
    }

    /// The columns of the index, if rows that are equal in all of them have to be sorted by the key.
    #[must_use]
    pub fn sorted_within(&self) -> Option<impl Iterator<Item = &Ident>> {
        (self.leading < self.columns.len()).then(|| self.columns[..self.leading].iter().map(|(name, _)| name))
    }

    /// As ORDER BY takes it, of rows called `o`.
    #[must_use]
    pub fn terms(&self) -> Fragment {
        Fragment::join(self.columns.iter().map(|(name, _)| format!("o.{name}")), ", ")
    }

    /// Where a row stands, as an array of text.
    #[must_use]
    pub fn position(&self) -> Fragment {
        let texts = self.columns.iter().map(|(name, _)| format!("o.{name}::pg_catalog.text"));
        Fragment::trusted(format!("array[{}]", Fragment::join(texts, ", ")))
    }

    /// The condition on rows behind the position `$2`; the first part of it is for the index.
    #[must_use]
    pub fn behind(&self) -> Fragment {
        let names =
            |count: usize| Fragment::join(self.columns[..count].iter().map(|(n, _)| format!("o.{n}")), ", ");
        let values = |count: usize| {
            let values = self.columns[..count].iter().enumerate();
            Fragment::join(values.map(|(n, (_, kind))| format!("($2::text[])[{}]::{kind}", n + 1)), ", ")
        };
        let all = self.columns.len();
        let whole = format!("row({}) > row({})", names(all), values(all));
        Fragment::trusted(if self.leading == all {
            whole
        } else {
            format!("row({}) >= row({}) and {whole}", names(self.leading), values(self.leading))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, is_unique: bool, columns: &[&str]) -> OrderIndex {
        let columns = columns.iter().map(|column| (Ident::new(*column), "integer".to_owned())).collect();
        OrderIndex { name: Ident::new(name), is_unique, columns }
    }

    #[test]
    fn an_order_always_tells_rows_apart() {
        let indexes = [
            index("pk", true, &["id"]),
            index("by_a", false, &["a", "b"]),
            index("by_a_id", false, &["a", "id"]),
        ];
        let find = |words: &[&str]| {
            let written: Vec<Ident> = words.iter().map(|word| Ident::new(*word)).collect();
            Order::find(&indexes, &written).map(|order| (order.terms().to_string(), order.leading))
        };
        assert_eq!(find(&["pk"]).unwrap(), ("o.\"id\"".into(), 1));
        assert_eq!(find(&["by_a"]).unwrap(), ("o.\"a\", o.\"b\", o.\"id\"".into(), 2));
        assert_eq!(find(&["a"]).unwrap(), ("o.\"a\", o.\"b\", o.\"id\"".into(), 2));
        assert_eq!(find(&["a", "id"]).unwrap(), ("o.\"a\", o.\"id\"".into(), 2));
        assert!(find(&["b"]).is_err());
        assert!(Order::find(&indexes[1..], &[Ident::new("by_a")]).is_err());
        let order = Order::find(&indexes, &[Ident::new("by_a")]).unwrap();
        assert_eq!(
            order.behind().as_str(),
            "row(o.\"a\", o.\"b\") >= row(($2::text[])[1]::integer, ($2::text[])[2]::integer) and \
             row(o.\"a\", o.\"b\", o.\"id\") > row(($2::text[])[1]::integer, ($2::text[])[2]::integer, ($2::text[])[3]::integer)"
        );
    }
}
