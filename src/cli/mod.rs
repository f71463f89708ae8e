//! The command line: reads the arguments, prints results to stdout and progress and errors to stderr, and returns an
//! exit code. It is the only module that prints.

mod args;
mod duration;
mod fail_on;
mod logging;
mod page;
mod plan_view;
mod progress;
mod status_view;
mod terminal;
mod units;
mod usage;
mod words;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use pgrecast::db::{Sessions, Target};
use pgrecast::engine::{Engine, Status};
use pgrecast::error::{Error, Kind, Result};
use pgrecast::run::Events;
use uuid::Uuid;

use args::{Args, Command, Select};
use terminal::{clean_json, clear, has_said, say, tell, tell_text};

/// Parses the arguments, runs the command, prints its result and returns the exit code.
pub(crate) fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            if !error.use_stderr() {
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            let arguments: Vec<String> =
                std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
            let words = usage::message(error, &arguments);
            tell_text(&words);
            if arguments.iter().any(|argument| argument == "--json") {
                say_error(&Error::usage(words.trim_start_matches("error: ").trim_end()));
            }
            return ExitCode::from(Kind::Usage.exit_code());
        }
    };
    logging::start(&args);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(&format!("error: could not start: {error}"));
            return ExitCode::from(1);
        }
    };
    let result = runtime.block_on(async {
        let result = run(&args).await;
        pgrecast::db::all_closed().await;
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if args.json && !has_said() {
                say_error(&error);
            }
            logging::report(&args, &error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let engine = engine(args)?;
    match &args.command {
        Command::Plan { change, check_data, sample, fail_on } => {
            fail_on::expect_possible(fail_on, *check_data)?;
            let (table, asked) = change.asked()?;
            let plan = engine.plan(&table, &asked, *check_data, *sample).await?;
            if args.json {
                say(&to_json(&plan)?);
            } else {
                say(&plan_view::show(&plan, change));
            }
            if let Some(first) = plan.refusals.first() {
                let message = format!("{} cannot be changed this way", plan.table);
                return Err(Error::refused(first.code, message));
            }
            fail_on::expect_none(fail_on, &plan)
        }
        Command::Run { change, .. } => {
            change.expect_allowed()?;
            let id = if change.asks_for_change() {
                let (table, asked) = change.asked()?;
                engine.begin(&table, &asked).await
            } else {
                engine.find(change.word(), true).await
            };
            finish(args, &engine, id, "run").await
        }
        Command::Verify { select } => finish(args, &engine, find(&engine, select).await, "verify").await,
        Command::Rollback { select, .. } => {
            finish(args, &engine, find(&engine, select).await, "rollback").await
        }
        Command::Abort { select, .. } => finish(args, &engine, find(&engine, select).await, "abort").await,
        Command::Cleanup { older_than: Some(age), .. } => clean_up_old(args, &engine, *age).await,
        Command::Cleanup { select, .. } if select.id.is_none() => {
            Err(Error::usage("cleanup needs the id or table of a migration")
                .because("cleanup drops the former table, and this cannot be undone")
                .hint("`pgrecast list` shows all migrations."))
        }
        Command::Cleanup { select, .. } => {
            finish(args, &engine, find(&engine, select).await, "cleanup").await
        }
        Command::Status { select, watch: false } => show_status(args, &engine, select).await,
        Command::Status { select, watch: true } => {
            tokio::select! {
                result = watch_status(args, &engine, select) => result,
                () = interrupted() => Ok(()),
            }
        }
        Command::List { open } => {
            let list = engine.list(*open).await?;
            if args.json {
                say(&to_json(&list)?);
            } else {
                say(&status_view::list(&list, *open));
            }
            Ok(())
        }
    }
}

fn engine(args: &Args) -> Result<Engine> {
    expect_readable_environment()?;
    let env = |name: &str| std::env::var(name).ok();
    let target = Target::resolve(&args.connection(), &env)?;
    let events = Events::new(progress::listeners(args));
    Ok(Engine::new(Sessions::new(Arc::new(target)), args.options()?, events))
}

/// A variable that cannot be read would count as not set, and pgrecast would connect to another server or database.
fn expect_readable_environment() -> Result<()> {
    let is_ours = |name: &str| name.starts_with("PG") || name == "USER";
    let unreadable = std::env::vars_os().find_map(|(name, value)| {
        name.into_string().ok().filter(|name| is_ours(name) && value.to_str().is_none())
    });
    match unreadable {
        None => Ok(()),
        Some(name) => Err(Error::usage(format!("the environment variable {name} is not UTF-8"))),
    }
}

async fn find(engine: &Engine, select: &Select) -> Result<Uuid> {
    engine.find(select.id.as_deref(), false).await
}

/// Runs a command on a migration and prints the status at the end, also if the command failed.
async fn finish(args: &Args, engine: &Engine, id: Result<Uuid>, what: &str) -> Result<()> {
    let result = match &id {
        Ok(id) => {
            progress::headline(args, engine, *id).await;
            match what {
                "run" => engine.run(*id, interrupted()).await,
                "verify" => engine.verify(*id, interrupted()).await,
                "rollback" => engine.rollback(*id, interrupted()).await,
                "abort" => engine.abort(*id, interrupted()).await,
                _ => engine.cleanup(*id, interrupted()).await,
            }
        }
        Err(error) => Err(error.clone()),
    };
    let mut status = match &id {
        Ok(id) => engine.status(*id).await.unwrap_or_default(),
        Err(_) => Status::default(),
    };
    if let Err(error) = &result {
        status = status.with_error(error);
    }
    if args.json {
        say(&to_json(&status)?);
    } else if result.is_ok() {
        say(&status_view::ending(&status, what));
    }
    result
}

/// Cleans up the old migrations in turn. If one fails, it continues with the next and returns the first error.
async fn clean_up_old(args: &Args, engine: &Engine, age: std::time::Duration) -> Result<()> {
    let old = engine.kept_for(age).await?;
    let mut list = Vec::new();
    let mut first_error = None;
    for id in old {
        progress::headline(args, engine, id).await;
        let mut status = Status::default();
        match engine.cleanup(id, interrupted()).await {
            Ok(()) => status = engine.status(id).await?,
            Err(error) => {
                status = engine.status(id).await.unwrap_or(status).with_error(&error);
                first_error.get_or_insert(error);
            }
        }
        if !args.json && status.error.is_none() {
            say(&status_view::ending(&status, "cleanup"));
        }
        list.push(status);
    }
    if args.json {
        say(&to_json(&list)?);
    } else if list.is_empty() {
        say("no migration is older than that\n");
    }
    first_error.map_or(Ok(()), Err)
}

async fn show_status(args: &Args, engine: &Engine, select: &Select) -> Result<()> {
    let list = match &select.id {
        Some(word) => vec![engine.status(engine.look_up(word).await?).await?],
        None => engine.list(true).await?,
    };
    if args.json {
        match (&select.id, list.as_slice()) {
            (Some(_), [one]) => say(&to_json(one)?),
            _ => say(&to_json(&list)?),
        }
    } else if list.is_empty() {
        say("no migration is open\n");
    } else {
        for status in &list {
            say(&status_view::one(status));
        }
    }
    Ok(())
}

async fn watch_status(args: &Args, engine: &Engine, select: &Select) -> Result<()> {
    let mut tick = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        tick.tick().await;
        if std::io::stdout().is_terminal() {
            clear();
        }
        show_status(args, engine, select).await?;
    }
}

/// Waits for Ctrl-C, or SIGTERM from a service manager.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

/// The error as JSON: a status with nothing else in it.
fn say_error(error: &Error) {
    if let Ok(text) = to_json(&Status::default().with_error(error)) {
        say(&text);
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map(|text| clean_json(&text).into_owned() + "\n")
        .map_err(|error| Error::new(Kind::Failed, format!("could not write JSON: {error}")))
}
