//! What the server says when it does not accept a statement of the change.

use crate::alter::AlterStatement;
use crate::catalog::Definition;
use crate::error::{Code, Error, Kind};

/// The server's refusal of a statement; it speaks of the shadow and of stand-ins, and `in_words` of the table.
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
