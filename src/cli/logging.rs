//! Events and errors on stderr.

use pgrecast::error::{Code, Error};
use tracing_subscriber::EnvFilter;

use super::args::{Args, LogFormat};
use super::terminal::tell;

/// Sends `tracing` events to stderr: warnings, and with `-v` what happens, with `-vv` every statement.
pub(crate) fn start(args: &Args) {
    let level = match (args.verbose, args.log_format) {
        (0, LogFormat::Text) => "pgrecast=warn",
        (0, LogFormat::Json) | (1, LogFormat::Text) => "pgrecast=info",
        (1, LogFormat::Json) | (_, _) => "pgrecast=debug",
    };
    let filter = EnvFilter::try_from_env("PGRECAST_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // A reader of stderr that goes away must not end the run.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match args.log_format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}

/// The error that ended the command.
pub(crate) fn report(args: &Args, error: &Error) {
    match args.log_format {
        LogFormat::Text => tell(&format!("error: {error}")),
        LogFormat::Json => tracing::error!(
            code = error.code.map(Code::as_str),
            sqlstate = error.sqlstate,
            cause = error.cause,
            state = error.state,
            hint = error.hint,
            exit_code = error.kind.exit_code(),
            "{}",
            error.message
        ),
    }
}
