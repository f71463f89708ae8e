//! The order in which rows are copied, with `--order-by`.

use crate::name::{Fragment, Ident};

/// An index whose scan can continue from a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderIndex {
    /// Its name.
    pub name: Ident,
    /// Whether it is unique.
    pub is_unique: bool,
    /// Its columns and their types.
    pub columns: Vec<(Ident, String)>,
}

/// Columns that order the rows. No two rows have the same values in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    columns: Vec<(Ident, String)>,
    /// How many of them are columns of the index.
    leading: usize,
}

impl Order {
    /// Finds the order that the user gave: the name of an index, or its leading columns.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub fn find(indexes: &[OrderIndex], written: &[Ident]) -> Result<Order, String> {
        let begins = |index: &OrderIndex| {
            index.columns.len() >= written.len()
                && index.columns.iter().zip(written).all(|((column, _), name)| column == name)
        };
        let by_name = |index: &&OrderIndex| matches!(written, [name] if *name == index.name);
        let Some(index) = indexes.iter().find(by_name).or_else(|| indexes.iter().find(|index| begins(index)))
        else {
            return Err("no suitable btree index has that name or these leading columns. It must not be partial, and all its columns \
                 must be NOT NULL, ascending, with the default operators, of an ordinary type (no float, array or range) \
                 and with a deterministic collation"
                .into());
        };
        let mut columns = index.columns.clone();
        if !index.is_unique {
            let Some(unique) = indexes.iter().find(|other| other.is_unique) else {
                return Err("rows with equal values in the index need a second order, and no primary key or unique index on NOT NULL columns gives one".into());
            };
            let more = unique.columns.iter().filter(|column| !index.columns.contains(column));
            columns.extend(more.cloned());
        }
        Ok(Order { columns, leading: index.columns.len() })
    }

    /// The columns of the index, if rows with equal values in all of them must be sorted by the key.
    #[must_use]
    pub fn sorted_within(&self) -> Option<impl Iterator<Item = &Ident>> {
        (self.leading < self.columns.len()).then(|| self.columns[..self.leading].iter().map(|(name, _)| name))
    }

    /// The ORDER BY list, for rows with the alias `o`.
    #[must_use]
    pub fn terms(&self) -> Fragment {
        Fragment::join(self.columns.iter().map(|(name, _)| format!("o.{name}")), ", ")
    }

    /// The position of a row, as an array of text.
    #[must_use]
    pub fn position(&self) -> Fragment {
        let texts = self.columns.iter().map(|(name, _)| format!("o.{name}::pg_catalog.text"));
        Fragment::trusted(format!("array[{}]", Fragment::join(texts, ", ")))
    }

    /// The condition for rows after the position `$2`. Its first part is for the index scan.
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
