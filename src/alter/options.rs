//! Values of options: `column=expression`, a condition, a name.

use super::TableRef;
use super::plain_cast::{expression, reads};
use crate::error::{Error, Result};
use crate::name::{Fragment, Ident};

/// Parses `column=expression`; the column may be quoted. `option` is named in the usage error.
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

/// Parses a condition on rows of one table.
///
/// # Errors
/// Usage, if it is not a single expression, or uses the physical position of the row.
pub fn read_condition(text: &str) -> Result<Fragment> {
    let wrong = |why: &str| Err(Error::usage(format!("--where needs a condition on the row: {why}: {text}")));
    let condition = Fragment::trusted(text.trim());
    if expression(text).is_none() {
        return wrong("this is not an expression");
    }
    if ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"]
        .iter()
        .any(|name| reads(&condition, &Ident::new(*name)))
    {
        return wrong("system columns cannot be used");
    }
    Ok(condition)
}

/// Parses names of columns or of an index, separated by commas, each quoted as in SQL if necessary.
pub fn read_names(option: &str, text: &str) -> Result<Vec<Ident>> {
    let mut is_quoted = false;
    let names = text.split(|c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    names
        .map(|name| match TableRef::parse(name.trim()) {
            Ok(TableRef { schema: None, name }) => Ok(name),
            _ => Err(Error::usage(format!("{option}: not the name of a column or index: '{name}'"))
                .hint("Write them as in SQL: customer_id,made or '\"Customer\",made'.")),
        })
        .collect()
}
