//! `column=expression`, as options take it.

use crate::error::{Error, Result};
use crate::name::{Fragment, Ident};

/// Reads it; the column is quoted where it must be. `option` is named in the usage error.
pub fn read_assignment(option: &str, text: &str) -> Result<(Ident, Fragment)> {
    let wrong = || {
        Error::usage(format!("{option} needs 'column=expression', not {text:?}"))
            .hint(format!("For example: {option} 'amount=amount::integer'"))
    };
    let (column, expression) = if let Some(rest) = text.strip_prefix('"') {
        let end = rest.find("\"=").ok_or_else(wrong)?;
        (rest[..end].replace("\"\"", "\""), &rest[end + 2..])
    } else {
        let (column, expression) = text.split_once('=').ok_or_else(wrong)?;
        (column.trim().to_lowercase(), expression)
    };
    if column.is_empty() || expression.trim().is_empty() {
        return Err(wrong());
    }
    Ok((Ident::new(column), Fragment::trusted(expression.trim())))
}
