//! The order of a table's columns, and how much space it wastes: a value begins at a multiple of its type's alignment,
//! and the bytes before it are padding.
//! <https://www.postgresql.org/docs/current/storage-page-layout.html#STORAGE-TUPLE-LAYOUT>

use serde::Serialize;

use crate::catalog::Column;
use crate::name::Ident;

/// A column of the new shape.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the old shape; none for a column that the change adds.
    pub old: Option<Ident>,
    /// Whether all its values have the same length.
    pub is_fixed: bool,
    /// Average length of a value, in bytes.
    pub width: f64,
    /// The alignment of a value, in bytes.
    pub alignment: u32,
    /// The fraction of NULL values.
    pub nulls: f64,
}

/// The average size of a row in bytes, without its header.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layout {
    /// In the order of the old shape.
    pub bytes_before: f64,
    /// In the order of the new one.
    pub bytes: f64,
    /// In the best order that `--columns` can give.
    pub bytes_least: f64,
    /// That order.
    pub least: Vec<String>,
}

impl Layout {
    /// The layout of fields in the order of the new shape; `before` are the columns of the old one.
    #[must_use]
    pub fn of(fields: &[Field], before: &[Column]) -> Self {
        let place = |field: &Field| {
            let old = |name: &Ident| before.iter().position(|column| column.name == *name);
            field.old.as_ref().and_then(old).unwrap_or(usize::MAX)
        };
        let mut unchanged = fields.to_vec();
        unchanged.sort_by_key(place);
        let mut least = unchanged.clone();
        // Added columns come last. Before them, columns of fixed length with the widest alignment first: this needs no
        // padding.
        least.sort_by_key(|field| (field.old.is_none(), !field.is_fixed, std::cmp::Reverse(field.alignment)));
        let names = least.iter().filter_map(|field| field.old.as_ref());
        Layout {
            bytes_before: row_bytes(&unchanged),
            bytes: row_bytes(fields),
            bytes_least: row_bytes(&least),
            least: names.map(Ident::shown).collect(),
        }
    }

    /// Whether the best order saves enough to mention it: a fiftieth of the row.
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.bytes - self.bytes_least > (self.bytes + HEADER) / 50.0
    }
}

/// The size of a row's header.
pub const HEADER: f64 = 24.0;

/// Longer values have an aligned header of four bytes; shorter ones need no alignment.
const SHORT: f64 = 127.0;

/// The average length of rows with these values in this order.
fn row_bytes(fields: &[Field]) -> f64 {
    let mut end = End { bytes: 0.0, modulus: 8, rest: 0 };
    for field in fields.iter().filter(|field| field.nulls < 0.5) {
        if field.is_fixed || field.width >= SHORT {
            end.align(field.alignment);
        }
        end.bytes += field.width;
        if field.is_fixed {
            end.rest = (end.rest + field.width as u32) % end.modulus;
        } else {
            (end.modulus, end.rest) = (1, 0);
        }
    }
    end.align(8);
    end.bytes
}

/// The end of a row so far: its average position, and its remainder `rest` modulo `modulus`.
struct End {
    bytes: f64,
    modulus: u32,
    rest: u32,
}

impl End {
    /// Aligns the end: the average over all its possible positions.
    fn align(&mut self, alignment: u32) {
        let places: Vec<u32> = (0..alignment)
            .filter(|place| place % self.modulus.min(alignment) == self.rest % self.modulus.min(alignment))
            .collect();
        let lost: u32 = places.iter().map(|place| (alignment - place) % alignment).sum();
        self.bytes += f64::from(lost) / places.len() as f64;
        if alignment >= self.modulus {
            (self.modulus, self.rest) = (alignment, 0);
        } else {
            self.rest = self.rest.next_multiple_of(alignment) % self.modulus;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(name: &str, width: u32) -> Field {
        Field {
            old: Some(Ident::new(name)),
            is_fixed: true,
            width: f64::from(width),
            alignment: width,
            nulls: 0.0,
        }
    }

    fn text(name: &str, width: f64) -> Field {
        Field { old: Some(Ident::new(name)), is_fixed: false, width, alignment: 4, nulls: 0.0 }
    }

    #[test]
    fn what_lies_between_values_counts() {
        assert!(
            (row_bytes(&[fixed("a", 8), fixed("b", 4), fixed("c", 8), fixed("d", 2)]) - 32.0).abs() < 0.01
        );
        assert!(
            (row_bytes(&[fixed("a", 8), fixed("c", 8), fixed("b", 4), fixed("d", 2)]) - 24.0).abs() < 0.01
        );
        assert!(
            (row_bytes(&[fixed("a", 1), fixed("b", 2), fixed("c", 1), fixed("d", 4)]) - 16.0).abs() < 0.01
        );
        assert!((row_bytes(&[]) - 0.0).abs() < 0.01);
        // After a text of unknown length, the padding before the next 8 bytes is 3.5 bytes on average.
        assert!((row_bytes(&[text("a", 10.0), fixed("b", 8)]) - 21.5).abs() < 0.01);
        // A long text is aligned itself.
        assert!((row_bytes(&[fixed("a", 1), text("b", 200.0)]) - 207.5).abs() < 0.01);
        let absent = Field { nulls: 0.9, ..fixed("b", 8) };
        assert!((row_bytes(&[fixed("a", 4), absent, fixed("c", 4)]) - 8.0).abs() < 0.01);
    }

    #[test]
    fn the_best_order_keeps_what_is_new_last_and_names_the_rest() {
        let new = Field { old: None, ..fixed("new", 8) };
        let layout = Layout::of(&[fixed("a", 1), text("t", 9.0), fixed("b", 8), fixed("c", 4), new], &[]);
        assert_eq!(layout.least, ["b", "c", "a", "t"]);
        assert!(layout.bytes_least < layout.bytes && layout.is_loose());
        let tight = Layout::of(&[fixed("b", 8), fixed("c", 4), fixed("a", 1)], &[]);
        assert!(!tight.is_loose());
    }
}
