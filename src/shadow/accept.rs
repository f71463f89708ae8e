//! The error for a statement of the change that the server does not accept.

use crate::alter::AlterStatement;
use crate::catalog::Definition;
use crate::error::{Code, Error, Kind};

/// Turns the server's error into a refusal. Its text names the shadow and stand-ins; `in_words` replaces these names by
/// those of the application's tables.
pub(super) fn not_accepted(
    error: Error,
    original: &Definition,
    statement: &AlterStatement,
    in_words: impl Fn(&str) -> String,
) -> Error {
    if error.kind != Kind::Failed {
        return error;
    }
    let asked = statement.sql(&original.table.name);
    let mut refused = error
        .context(format!("the server does not accept: {asked}"))
        .refused_as(Code::NotAccepted)
        .state("nothing was changed");
    refused.cause = refused.cause.map(|cause| in_words(&cause));
    refused
}
