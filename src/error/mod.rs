//! The error type. An error says what went wrong, why (the server's message and SQLSTATE), what the state is, and what
//! to do next. Its [`Kind`] decides, in one match each, whether pgrecast retries, and the exit code.

mod code;
mod codes;
mod server;

use std::fmt;

use tokio_postgres::error::SqlState;

pub use code::Code;
pub(crate) use codes::codes;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error. It decides about retry and exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Transient: a lock not granted in time, a serialization failure, a deadlock.
    Transient,
    /// The connection or the server was lost; the outcome of the last statement is unknown.
    ConnectionLost,
    /// Failed; running the same command again is safe.
    Failed,
    /// The command line or an argument is wrong.
    Usage,
    /// The plan refuses the change; nothing was changed.
    Refused,
    /// Stopped on request; can continue.
    Stopped,
    /// Needs a person: data that does not convert, duplicates, NULLs, differences.
    NeedsPerson,
}

impl Kind {
    /// The exit code of a process that ends with this kind of error.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Transient | Kind::ConnectionLost | Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::Stopped => 4,
            Kind::NeedsPerson => 5,
        }
    }
}

/// An error: what failed, why, the state, and what to do next.
#[derive(Debug, Clone)]
pub struct Error {
    /// Decides about retry and exit code.
    pub kind: Kind,
    /// The code of the refusal; every [`Kind::Refused`] has one, no other kind has.
    pub code: Option<Code>,
    /// The object that a refusal is about, if it is not the table.
    pub object: Option<String>,
    /// What failed.
    pub message: String,
    /// More lines of the message: the position of a syntax error, all refusals.
    pub lines: Vec<String>,
    /// The cause: usually the server's message.
    pub cause: Option<String>,
    /// The part of the server's message that may contain row values. It is shown to the user who runs the command. It
    /// is never stored or logged, and not part of `Display`, so that this cannot happen by accident.
    pub detail: Option<String>,
    /// The SQLSTATE, if the server reported the error.
    pub sqlstate: Option<String>,
    /// The state after the error.
    pub state: Option<String>,
    /// What the user can do next.
    pub hint: Option<String>,
}

impl Error {
    /// An error of `kind` with `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error {
            kind,
            code: None,
            object: None,
            message: message.into(),
            lines: Vec::new(),
            cause: None,
            detail: None,
            sqlstate: None,
            state: None,
            hint: None,
        }
    }

    /// [`Kind::Failed`]: running the same command again is safe.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// [`Kind::Usage`]: the command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// [`Kind::Refused`]: the plan refuses, for the reason that `code` names.
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message).refused_as(code)
    }

    /// [`Kind::NeedsPerson`]: a person must decide or correct data.
    pub fn needs_person(message: impl Into<String>) -> Self {
        Self::new(Kind::NeedsPerson, message)
    }

    /// [`Kind::Stopped`]: stopped on request.
    pub fn stopped(message: impl Into<String>) -> Self {
        Self::new(Kind::Stopped, message)
    }

    /// Sets the message to `what`; the old message becomes (part of) the cause.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, what.into());
        self.cause = Some(match self.cause.take() {
            Some(cause) => format!("{inner}: {cause}"),
            None => match &self.sqlstate {
                Some(code) => format!("{inner} ({code})"),
                None => inner,
            },
        });
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds lines to the message.
    #[must_use]
    pub fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    /// Sets the state, unless it is set already.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state.get_or_insert_with(|| state.into());
        self
    }

    /// Sets the hint, unless it is set already.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same error as a refusal: [`Kind::Refused`] with this code.
    #[must_use]
    pub fn refused_as(mut self, code: Code) -> Self {
        self.kind = Kind::Refused;
        self.code = Some(code);
        self
    }

    /// Sets the object that a refusal is about.
    #[must_use]
    pub fn about(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// The same error as another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Message and cause in one text, for the state and JSON.
    #[must_use]
    pub fn summary(&self) -> String {
        let message = [std::slice::from_ref(&self.message), &self.lines].concat().join("\n  ");
        match &self.cause {
            Some(cause) => format!("{message}: {cause}"),
            None => message,
        }
    }

    /// The message, with the SQLSTATE if there is no cause that contains it.
    #[must_use]
    pub fn heading(&self) -> String {
        match (&self.cause, &self.sqlstate) {
            (None, Some(code)) => format!("{} ({code})", self.message),
            _ => self.message.clone(),
        }
    }

    /// Whether the server reported this SQLSTATE.
    #[must_use]
    pub fn is_sqlstate(&self, state: &SqlState) -> bool {
        self.sqlstate.as_deref() == Some(state.code())
    }

    /// Whether the other shape cannot hold a row: a data exception (class 22), a violated constraint (class 23), or an
    /// exception that a function of the user raised. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    #[must_use]
    pub fn is_misfit(&self) -> bool {
        self.sqlstate
            .as_deref()
            .is_some_and(|code| code.starts_with("22") || code.starts_with("23") || code == "P0001")
    }

    /// Whether a row conflicts with another one: a unique index or an exclusion constraint.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.is_sqlstate(&SqlState::UNIQUE_VIOLATION) || self.is_sqlstate(&SqlState::EXCLUSION_VIOLATION)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.heading())?;
        for line in &self.lines {
            write!(f, "\n  {line}")?;
        }
        if let Some(cause) = &self.cause {
            write!(f, "\ncaused by: {cause}")?;
        }
        if let Some(state) = &self.state {
            write!(f, "\nstate: {state}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_the_servers_words_and_code() {
        let mut inner = Error::failed("smallint out of range");
        inner.sqlstate = Some("22003".into());
        let text = inner.context("1 row does not fit").state("unchanged").hint("correct it").to_string();
        assert_eq!(
            text,
            "1 row does not fit\ncaused by: smallint out of range (22003)\nstate: unchanged\nhint: correct it"
        );
    }

    #[test]
    fn row_values_are_in_the_detail_only() {
        let mut error = Error::failed("new row violates check constraint \"c\"");
        error.detail = Some("Failing row contains (1, 123-45-6789).".into());
        let error = error.context("1 row does not fit").lines(["more".to_owned()]);
        assert!(!error.to_string().contains("6789") && !error.summary().contains("6789"), "{error}");
        assert_eq!(error.summary(), "1 row does not fit\n  more: new row violates check constraint \"c\"");
    }
}
