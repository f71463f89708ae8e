//! Errors of the server, or of the connection to it, when a statement fails.
//!
//! Row values are only in [`Error::detail`]: messages and causes are stored and logged.

use std::str::Utf8Error;

use tokio_postgres::error::{DbError, SqlState};

use super::{Error, Kind};

/// The kind of a SQLSTATE. This is the only list of transient ones.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn kind_of(state: &SqlState) -> Kind {
    const PASSING: [&SqlState; 7] = [
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::QUERY_CANCELED, // our own statement_timeout: the budget of a lock request
        // The same, if it occurred after the answer to Parse and before ReadyForQuery, when nobody reads the answer.
        &SqlState::IN_FAILED_SQL_TRANSACTION,
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::T_R_DEADLOCK_DETECTED,
        &SqlState::OBJECT_IN_USE,
        &SqlState::TOO_MANY_CONNECTIONS,
    ];
    const LOST: [&SqlState; 3] =
        [&SqlState::ADMIN_SHUTDOWN, &SqlState::CRASH_SHUTDOWN, &SqlState::CANNOT_CONNECT_NOW];
    if PASSING.contains(&state) {
        Kind::Transient
    } else if LOST.contains(&state)
        || state.code().starts_with("08")
        || state.code() == "25P03" // idle_in_transaction_session_timeout
        || state.code() == "57P05"
    // idle_session_timeout
    {
        Kind::ConnectionLost
    } else {
        Kind::Failed
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(said) = error.as_db_error() {
            let words = Words::of(said);
            let mut out = Error::new(kind_of(said.code()), words.message);
            out.sqlstate = Some(said.code().code().to_owned());
            out.detail = words.detail;
            out.hint = words.hint;
            return out;
        }
        if is_not_utf8(&error) {
            // The code that the server uses if it detects this.
            let mut out = Error::failed("the server sent text that is not UTF-8");
            out.sqlstate = Some(SqlState::CHARACTER_NOT_IN_REPERTOIRE.code().to_owned());
            return out;
        }
        let why = std::error::Error::source(&error).map(ToString::to_string);
        let mut out = if error.is_closed() || is_io(&error) {
            Error::new(Kind::ConnectionLost, "the connection to the server was lost")
        } else {
            Error::failed(error.to_string())
        };
        out.cause = why;
        out
    }
}

/// The server's message, with everything that may contain row values in `detail`.
struct Words {
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Words {
    fn of(said: &DbError) -> Self {
        let code = said.code().code();
        let class = code.get(..2).unwrap_or_default();
        let (message, detail, hint) = (said.message(), said.detail(), said.hint());
        // The C function of RAISE in pl_exec.c. RAISE can use any SQLSTATE.
        let is_raised = code == SqlState::RAISE_EXCEPTION.code() || said.routine() == Some("exec_stmt_raise");
        if is_raised || FROM_FUNCTIONS.contains(&class) {
            return Words {
                message: "a function of the database raised an error".to_owned(),
                detail: Some(
                    [Some(message), detail, hint].into_iter().flatten().collect::<Vec<_>>().join(": "),
                ),
                hint: None,
            };
        }
        let hint = hint.map(str::to_owned);
        if class == DATA_EXCEPTION
            && let Some(short) = without_quoted(message)
        {
            let full = detail.map_or_else(|| message.to_owned(), |detail| format!("{message}: {detail}"));
            return Words { message: short, detail: Some(full), hint };
        }
        match detail {
            Some(detail) if ABOUT_OBJECTS.contains(&class) => {
                Words { message: format!("{message}: {detail}"), detail: None, hint }
            }
            detail => Words { message: message.to_owned(), detail: detail.map(str::to_owned), hint },
        }
    }
}

/// Classes whose DETAIL names objects, settings or processes, and never values of a row.
const ABOUT_OBJECTS: [&str; 10] = ["0A", "28", "2B", "3D", "3F", "40", "42", "53", "55", "57"];
/// Classes of errors that user-defined functions raise, with arbitrary text.
const FROM_FUNCTIONS: [&str; 2] = ["38", "39"];
/// The class whose messages quote values: `invalid input syntax for type integer: "abc"`.
const DATA_EXCEPTION: &str = "22";

/// The message with `"..."` instead of the text between its first and its last quotation mark, because a value may
/// itself contain quotation marks. The marks are those of the server's translations (src/backend/po). `None` if the
/// message has none.
fn without_quoted(message: &str) -> Option<String> {
    const MARKS: [char; 6] = ['"', '«', '»', '„', '“', '”'];
    let first = message.find(MARKS)?;
    let last = message.rfind(MARKS)?;
    let after = message[last..].chars().next().map_or(last, |mark| last + mark.len_utf8());
    // A truncated text has only an opening mark.
    let rest = if first == last { "" } else { &message[after..] };
    Some(format!("{}\"...\"{rest}", &message[..first]))
}

/// Whether a value, or a message of the protocol, could not be read because it is not UTF-8.
fn is_not_utf8(error: &tokio_postgres::Error) -> bool {
    let Some(source) = std::error::Error::source(error) else { return false };
    let inner = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    source.is::<Utf8Error>() || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<Utf8Error>)
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_timeout_passes_by_itself_and_a_syntax_error_does_not() {
        assert_eq!(kind_of(&SqlState::LOCK_NOT_AVAILABLE), Kind::Transient);
        assert_eq!(kind_of(&SqlState::SYNTAX_ERROR), Kind::Failed);
        assert_eq!(kind_of(&SqlState::CONNECTION_FAILURE), Kind::ConnectionLost);
    }

    #[test]
    fn a_data_exception_is_told_without_the_value() {
        for (message, short) in [
            (
                r#"invalid input syntax for type integer: "se"cret""#,
                r#"invalid input syntax for type integer: "...""#,
            ),
            (
                r#"value "secret" is out of range for type integer"#,
                r#"value "..." is out of range for type integer"#,
            ),
            (
                "ungültige Eingabesyntax für Typ integer: »secret«",
                r#"ungültige Eingabesyntax für Typ integer: "...""#,
            ),
            (
                r#"invalid input syntax for type json: "secret"#,
                r#"invalid input syntax for type json: "...""#,
            ),
        ] {
            assert_eq!(without_quoted(message).as_deref(), Some(short));
        }
        assert_eq!(without_quoted("integer out of range"), None);
    }
}
