//! Events and errors on stderr. Events contain no row values: [`Error::detail`] is printed as text, but not logged.

use std::fmt;
use std::io::{self, IsTerminal};

use pgrecast::error::{Code, Error};
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, Writer};

use super::args::{Args, LogFormat};
use super::page::Page;
use super::terminal::{clean, clean_json, tell_text};

/// Sends `tracing` events to stderr: warnings only; with `-v` every step, with `-vv` every statement.
pub(crate) fn start(args: &Args) {
    let level = match (args.verbose, args.log_format) {
        (0, LogFormat::Text) => "pgrecast=warn",
        (0, LogFormat::Json) | (1, LogFormat::Text) => "pgrecast=info",
        (1, LogFormat::Json) | (_, _) => "pgrecast=debug",
    };
    let filter = EnvFilter::try_from_env("PGRECAST_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // A closed stderr must not end the run.
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    match args.log_format {
        LogFormat::Text => {
            let has_colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let fields = format::debug_fn(write_field).delimited(" ");
            subscriber
                .with_writer(std::io::stderr)
                .with_ansi(has_colors)
                .fmt_fields(fields)
                .with_target(false)
                .init();
        }
        LogFormat::Json => subscriber.json().flatten_event(true).with_writer(|| CleanJson).init(),
    }
}

/// One field of an event, on the line of the event.
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => out.write_str(&clean(&value)),
        name => write!(out, "{name}={}", clean(&value)),
    }
}

/// Writes JSON events to stderr, each in one call.
struct CleanJson;

impl io::Write for CleanJson {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(clean_json(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints the error that ended the command: with its detail as text, without it in a JSON log.
pub(crate) fn report(args: &Args, error: &Error) {
    match args.log_format {
        LogFormat::Text => tell_text(&Page::error(error).into_text()),
        LogFormat::Json => tracing::error!(
            code = error.code.map(Code::as_str),
            sqlstate = error.sqlstate,
            cause = error.cause,
            state = error.state,
            hint = error.hint,
            exit_code = error.kind.exit_code(),
            "{}",
            [std::slice::from_ref(&error.message), &error.lines].concat().join("\n  ")
        ),
    }
}
