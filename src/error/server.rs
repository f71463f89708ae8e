//! What the server, or the connection to it, says when a statement fails.

use tokio_postgres::error::SqlState;

use super::{Error, Kind};

/// What a SQLSTATE means for us: the list of those that pass by themselves is written out here and
/// nowhere else. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn kind_of(state: &SqlState) -> Kind {
    const PASSING: [&SqlState; 7] = [
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::QUERY_CANCELED, // our own statement_timeout: the budget of a lock request
        // The same, when it struck after the answer to Parse and before ReadyForQuery, where nobody listens.
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
        if let Some(db) = error.as_db_error() {
            let mut message = db.message().to_owned();
            if let Some(detail) = db.detail() {
                message = format!("{message}: {detail}");
            }
            let mut out = Error::new(kind_of(db.code()), message);
            out.sqlstate = Some(db.code().code().to_owned());
            out.hint = db.hint().map(str::to_owned);
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
}
