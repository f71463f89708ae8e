//! The assignment cast, written as an expression.
//!
//! `insert .. select` and ALTER convert by assignment casts; comparison and replay need the same conversion as an
//! expression. An explicit cast calls the same function, but the length casts of varchar, char, bit and bit varying
//! learn that they are explicit and then truncate without an error
//! (<https://www.postgresql.org/docs/current/sql-createcast.html>: "the third argument"). For these we call the length
//! function ourselves, with `false`.

use crate::catalog::Column;
use crate::name::{Fragment, Ident};

/// Converts `expression` to the type of `to` as an assignment does.
#[must_use]
pub fn assign(expression: &Fragment, to: &Column) -> Fragment {
    let sized = to.base_typmod >= 0 && to.base_schema == "pg_catalog";
    let text = match to.base_name.as_str() {
        "varchar" | "bpchar" | "bit" | "varbit" if sized => {
            let base = Ident::new(&to.base_name);
            let unlimited = format!("({expression})::pg_catalog.{base}");
            let cut = format!("pg_catalog.{base}({unlimited}, {}, false)", to.base_typmod);
            if to.is_domain { format!("({cut})::{}", to.type_name) } else { cut }
        }
        _ => format!("({expression})::{}", to.type_name),
    };
    Fragment::trusted(text)
}

/// Whether [`assign`] is equivalent to the assignment cast. It is not for arrays of types with a length: an explicit
/// cast truncates their elements.
#[must_use]
pub fn can_assign(to: &Column) -> bool {
    !to.element_is_varlength
}

/// Whether two different values of `from` always become two different values of `to`, or an error.
///
/// Only certain cases count, because keys depend on it.
#[must_use]
pub fn is_one_to_one(from: &Column, to: &Column) -> bool {
    if from.type_name == to.type_name {
        return true;
    }
    if from.base_schema != "pg_catalog" && from.base_name != "citext" && !from.base_is_enum {
        return false;
    }
    let unlimited = to.base_typmod < 0;
    let into_text = matches!(to.base_name.as_str(), "text" | "varchar") && unlimited;
    match (from.base_name.as_str(), to.base_name.as_str()) {
        ("int2" | "int4" | "int8", "int2" | "int4" | "int8") => true,
        ("int2" | "int4" | "int8" | "numeric", "numeric") | ("date", "timestamp") => unlimited,
        ("varchar", "varchar") => unlimited || (from.base_typmod >= 0 && to.base_typmod >= from.base_typmod),
        ("int2" | "int4" | "int8" | "uuid" | "text" | "varchar" | "bpchar" | "citext" | "name", _) => {
            into_text
        }
        _ => from.base_is_enum && into_text,
    }
}

/// Whether equal values of this type always have equal images, and its extended hash is reliable. Then the hash of the
/// value represents it. All other types are compared by their text.
#[must_use]
pub fn is_hashed_by_value(column: &Column) -> bool {
    column.base_is_enum
        || (column.base_schema == "pg_catalog"
            && matches!(
                column.base_name.as_str(),
                "bool"
                    | "bytea"
                    | "char"
                    | "int2"
                    | "int4"
                    | "int8"
                    | "oid"
                    | "date"
                    | "time"
                    | "timestamp"
                    | "timestamptz"
                    | "uuid"
                    | "text"
                    | "varchar"
            ))
}

/// Converts `expression`, of the type of `column`, to a value whose hash distinguishes images.
#[must_use]
pub fn image(expression: &Fragment, column: &Column) -> Fragment {
    let text = if column.base_is_enum {
        format!("({expression})")
    } else {
        match column.base_name.as_str() {
            // A collation may treat different texts as equal; their bytes differ.
            "text" | "varchar" => format!("({expression})::pg_catalog.text collate pg_catalog.\"C\""),
            _ if is_hashed_by_value(column) => format!("({expression})"),
            // The cast to text would remove trailing blanks.
            "bpchar" if column.base_schema == "pg_catalog" => {
                format!("pg_catalog.textin(pg_catalog.bpcharout({expression})) collate pg_catalog.\"C\"")
            }
            _ => format!("({expression})::pg_catalog.text collate pg_catalog.\"C\""),
        }
    };
    Fragment::trusted(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::column;

    #[test]
    fn a_length_is_enforced_not_cut() {
        let mut to = column(1, "v", "character varying(3)", "varchar");
        to.base_typmod = 7;
        let text = assign(&Fragment::trusted("\"t\".\"v\""), &to).to_string();
        assert_eq!(text, "pg_catalog.\"varchar\"((\"t\".\"v\")::pg_catalog.\"varchar\", 7, false)");
    }

    #[test]
    fn what_may_collide_is_not_one_to_one() {
        let int4 = column(1, "k", "integer", "int4");
        let int8 = column(1, "k", "bigint", "int8");
        let numeric = column(1, "k", "numeric", "numeric");
        let text = column(1, "k", "text", "text");
        assert!(is_one_to_one(&int4, &int8));
        assert!(is_one_to_one(&int8, &int4));
        assert!(is_one_to_one(&int4, &text));
        assert!(!is_one_to_one(&numeric, &int4));
        assert!(!is_one_to_one(&text, &int4));
        let mut narrow = column(1, "k", "character varying(3)", "varchar");
        narrow.base_typmod = 7;
        assert!(!is_one_to_one(&text, &narrow));
    }
}
