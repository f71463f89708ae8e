//! What can be written on the command line.

use std::io::Read;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use pgrecast::alter::{Alter, TableRef, read_assignment, read_condition, read_names};
use pgrecast::change::{self, Strategy};
use pgrecast::copy::CopyOptions;
use pgrecast::db::{ConnectionArgs, may_hold_password};
use pgrecast::engine::Options;
use pgrecast::error::{Code, Error, Result};
use pgrecast::lock::LockPolicy;

use pgrecast::swap::snapshots::{OldSnapshots, SnapshotPolicy};

use super::duration;
use super::fail_on::FailOn;
use super::terminal::acts;

/// Change the shape of a live PostgreSQL table without locking it, without losing a write, and with a
/// way back.
///
/// Builds a shadow table with the new shape, captures every write to the original, copies the rows,
/// proves both equal, and exchanges them in one short transaction. The former table is kept level with
/// the new one until you say `cleanup`.
#[derive(Debug, Parser)]
#[command(name = "pgrecast", version, disable_help_flag = true, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Database name, conninfo string ('host=.. dbname=..') or URI (postgres://..)
    #[arg(short, long, global = true, help_heading = "Connection (as psql)", value_name = "DBNAME")]
    dbname: Option<String>,
    /// Server host, or directory of its socket
    #[arg(short = 'h', long, global = true, help_heading = "Connection (as psql)")]
    host: Option<String>,
    /// Server port
    #[arg(short, long, global = true, help_heading = "Connection (as psql)")]
    port: Option<u16>,
    /// Role to connect as
    #[arg(short = 'U', long, global = true, help_heading = "Connection (as psql)")]
    username: Option<String>,

    /// Print one JSON object (list: an array) on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on stderr; twice: every chunk and statement
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How events are written to stderr
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Print help
    #[arg(long, global = true, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 failed, safe to run again; 2 wrong usage; 3 refused by the plan; 4 stopped on
request, can go on; 5 needs a person (data that does not fit, duplicates, differences).

Passwords: ~/.pgpass, PGPASSFILE, PGPASSWORD or the service file; never on the command line.

Example:
  pgrecast plan orders --alter 'alter column id type bigint'
  pgrecast run orders --alter 'alter column id type bigint'
  pgrecast rollback orders     (go back, losing nothing)
  pgrecast cleanup orders      (keep the change, free the space)";

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what a change would do, lock, need and risk; change nothing
    Plan {
        #[command(flatten)]
        change: Change,
        /// Read all rows: count those that do not convert or would change, NULLs, duplicates, orphans, and name ten
        #[arg(long)]
        check_data: bool,
        /// Copy some thousand rows and undo that: how long it takes, and how much disk and WAL, is measured then
        #[arg(long)]
        sample: bool,
        /// Exit with 3 if one of these risks is found (by their codes, separated by commas; any: whichever but prepared-statements and hidden-transactions, which nearly every change has)
        #[arg(long, value_name = "CODES", value_delimiter = ',')]
        fail_on: Vec<FailOn>,
    },
    /// Do it, to the end; or go on with what is open
    ///
    /// Without --alter, --file or --rebuild it continues: the migration named by id or table, or the
    /// one that is open. On a swapped migration it validates what is left and brings the retired table
    /// level (fit for cron). Nothing is ever dropped unasked.
    Run {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        pace: Pace,
        #[command(flatten)]
        locks: Locks,
    },
    /// Show phase, progress, log, locks and errors of open migrations
    Status {
        #[command(flatten)]
        select: Select,
        /// Show it again every second, until Ctrl-C
        #[arg(long, conflicts_with = "json")]
        watch: bool,
    },
    /// List all migrations
    List {
        /// Open ones only
        #[arg(long)]
        open: bool,
    },
    /// Compare all rows of both tables now, before the swap or after it
    Verify {
        #[command(flatten)]
        select: Select,
    },
    /// Put the original back in place with everything written since the swap
    Rollback {
        #[command(flatten)]
        select: Select,
        #[command(flatten)]
        locks: Locks,
    },
    /// Keep the change: drop the retired table and everything of the migration
    Cleanup {
        #[command(flatten)]
        select: Select,
        /// Instead of one: all that were swapped (or rolled back) longer ago than this, for example 7d
        #[arg(long, value_parser = duration::parse, conflicts_with = "id")]
        older_than: Option<Duration>,
        #[command(flatten)]
        locks: Locks,
    },
    /// Give up before the swap: leave the database as it was
    Abort {
        #[command(flatten)]
        select: Select,
        #[command(flatten)]
        locks: Locks,
    },
}

/// Which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// The cheapest that destroys nothing
    #[default]
    Auto,
    /// A shadow table, which keeps the former table for the way back
    Copy,
    /// The table itself, or not at all; what it drops is gone
    InPlace,
}

impl Way {
    fn strategy(self) -> Strategy {
        match self {
            Way::Auto => Strategy::Auto,
            Way::Copy => Strategy::Copy,
            Way::InPlace => Strategy::InPlace,
        }
    }
}

/// The change that is asked for.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Change {
    /// The table (schema.table, quoted as in SQL); for `run` also the id of a migration to go on with
    #[arg(value_name = "TABLE", value_parser = table_or_id)]
    table: Option<String>,
    /// Actions of ALTER TABLE, separated by commas; may be repeated, applied in order
    #[arg(long, value_name = "ACTIONS")]
    alter: Vec<String>,
    /// A file of ALTER TABLE, CREATE INDEX and DROP INDEX statements for one table, `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["alter", "rebuild"])]
    file: Option<String>,
    /// No change of shape: write the table anew, without bloat
    #[arg(long, conflicts_with = "alter")]
    rebuild: bool,
    /// Which way it is done; `plan` says what each action needs
    #[arg(long, value_enum, default_value = "auto")]
    strategy: Way,
    /// What rows that are there get in a column that the change adds, from the columns of the new shape
    #[arg(long, value_name = "COLUMN=EXPRESSION", conflicts_with = "rebuild")]
    set: Vec<String>,
    /// Keep only the rows that fulfil this, over the columns of the old shape; needs --allow-row-loss to run
    #[arg(long = "where", value_name = "CONDITION")]
    filter: Option<String>,
    /// Copy in the order of an index (its name, or the columns with which it begins): by one session, slower
    #[arg(long, value_name = "INDEX|COLUMNS")]
    order_by: Option<String>,
    /// Columns in another order: these first; those that the change adds come last. `plan` says what an order saves
    #[arg(long, value_name = "COLUMNS")]
    columns: Option<String>,
    /// Yes, the rows that --where leaves out are to be gone
    #[arg(long, requires = "filter")]
    allow_row_loss: bool,
    /// How a column of the old shape is computed from the new one, where the assignment cast does not do
    #[arg(long, value_name = "COLUMN=EXPRESSION")]
    reverse: Vec<String>,
}

impl Change {
    pub(crate) fn asks_for_change(&self) -> bool {
        !self.alter.is_empty() || self.file.is_some() || self.rebuild || self.chooses_rows()
    }

    /// The same in words.
    pub(crate) fn which_rows(&self) -> Vec<String> {
        let filter = self.filter.iter().map(|filter| format!("only rows where {filter}"));
        let order = self.order_by.iter().map(|order| format!("in the order of {order}, by one session"));
        let columns =
            self.columns.iter().map(|columns| format!("with {columns} as its first columns, in this order"));
        filter.chain(order).chain(columns).collect()
    }

    /// Which rows, or in which order: that alone is a change, too.
    fn chooses_rows(&self) -> bool {
        self.filter.is_some() || self.order_by.is_some() || self.columns.is_some()
    }

    /// Whether columns are to get another order.
    pub(crate) fn orders_columns(&self) -> bool {
        self.columns.is_some()
    }

    /// # Errors
    /// Refused, when rows would be lost and nobody said that they may be.
    pub(crate) fn expect_allowed(&self) -> Result<()> {
        match &self.filter {
            Some(filter) if !self.allow_row_loss => Err(Error::refused(
                Code::RowLoss,
                format!("rows that do not satisfy {filter} would be gone after cleanup"),
            )
            .state("nothing was changed")
            .hint(
                "If that is what you want, add --allow-row-loss. Until cleanup the former table has them.",
            )),
            _ => Ok(()),
        }
    }

    /// The id or table to go on with.
    pub(crate) fn word(&self) -> Option<&str> {
        self.table.as_deref()
    }

    pub(crate) fn asked(&self) -> Result<(TableRef, change::Change)> {
        let named = self.table.as_deref().map(TableRef::parse).transpose()?;
        let reverse =
            self.reverse.iter().map(|text| read_assignment("--reverse", text)).collect::<Result<_>>()?;
        let (table, mut alter) = if let Some(path) = &self.file {
            let (table, alter) = Alter::from_file(&read(path)?)?;
            if let (Some(named), Some(table)) = (&named, &table)
                && named != table
            {
                return Err(Error::usage(format!(
                    "the file alters {table}, not the table named on the command line"
                ))
                .hint("With --file the table is taken from the file: leave the name out."));
            }
            (table.or(named), alter)
        } else if self.rebuild || (self.alter.is_empty() && self.chooses_rows()) {
            (named, Alter::rebuild())
        } else if self.alter.is_empty() {
            return Err(Error::usage("what is to be changed is missing")
                .hint("Give --alter '<actions>', --file FILE, or --rebuild."));
        } else {
            (named, Alter::from_actions(&self.alter)?)
        };
        let set = self.set.iter().map(|text| read_assignment("--set", text)).collect::<Result<Vec<_>>>()?;
        alter.set(&set)?;
        let table = table.ok_or_else(|| {
            Error::usage("the table is missing").hint(
                "Name it: pgrecast run TABLE --alter '..', or with a file of DROP INDEX: run TABLE --file ..",
            )
        })?;
        let filter = self.filter.as_deref().map(read_condition).transpose()?;
        let list = |option: &str, text: &Option<String>| {
            text.as_deref().map_or(Ok(Vec::new()), |text| read_names(option, text))
        };
        let order = list("--order-by", &self.order_by)?;
        let columns = list("--columns", &self.columns)?;
        let strategy = self.strategy.strategy();
        Ok((table, change::Change { alter, reverse, filter, order, columns, strategy }))
    }

    /// The command that does what was planned, for copying.
    pub(crate) fn as_command(&self) -> String {
        let mut words = vec!["pgrecast run".to_owned()];
        words.extend(self.table.as_deref().map(quote_if_needed));
        words.extend(self.alter.iter().map(|text| format!("--alter {}", quote(text))));
        words.extend(self.file.iter().map(|path| format!("--file {}", quote(path))));
        words.extend(self.rebuild.then(|| "--rebuild".to_owned()));
        words.extend(match self.strategy {
            Way::Auto => None,
            Way::Copy => Some("--strategy copy".to_owned()),
            Way::InPlace => Some("--strategy in-place".to_owned()),
        });
        words.extend(self.set.iter().map(|text| format!("--set {}", quote(text))));
        words.extend(self.filter.iter().map(|text| format!("--where {} --allow-row-loss", quote(text))));
        words.extend(self.order_by.iter().map(|names| format!("--order-by {}", quote(names))));
        words.extend(self.columns.iter().map(|names| format!("--columns {}", quote(names))));
        words.extend(self.reverse.iter().map(|text| format!("--reverse {}", quote(text))));
        words.join(" ")
    }
}

/// As one word for the shell. With control characters in it, in the form in which they are written by their numbers
/// (`$'..'`, POSIX 2024 and bash), so that the command can still be copied.
pub(crate) fn quote(text: &str) -> String {
    if !text.contains(acts) {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    let mut out = String::from("$'");
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\\' | '\'' => out.extend(['\\', c]),
            c if !acts(c) => out.push(c),
            c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out + "'"
}

fn quote_if_needed(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { quote(text) }
}

fn read(path: &str) -> Result<String> {
    let mut text = String::new();
    let result = if path == "-" {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(path).map(|read| text = read)
    };
    result.map_err(|error| Error::usage(format!("could not read {path}")).because(error.to_string()))?;
    Ok(text)
}

/// A migration that exists.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Select {
    /// Id, unique beginning of it, or table; may be left out when one migration is open
    #[arg(value_name = "ID", value_parser = table_or_id)]
    pub(crate) id: Option<String>,
}

/// How fast.
#[derive(Debug, ClapArgs)]
pub(crate) struct Pace {
    /// Sessions that copy at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Indexes that are built at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    index_jobs: u16,
    /// Memory to build each of them with, for example 1GB; 32MB if there are pauses (--nice-ratio), else as the server is set
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    maintenance_work_mem: Option<u32>,
    /// How long one transaction of the copy should take; 3ms if there are pauses (--nice-ratio), else 30ms
    #[arg(long, value_parser = duration::parse)]
    chunk_time: Option<Duration>,
    /// How long to pause after it, in such times; 0: none, and the server may use as many processors for an index
    /// or a comparison as its settings allow
    #[arg(long, default_value_t = 1.5, value_parser = nice_ratio)]
    nice_ratio: f64,
}

/// What to do about transactions older than the new table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Old {
    /// Wait for them up to --snapshot-timeout, then stop; the same command goes on later
    #[default]
    Wait,
    /// Wait for them up to --snapshot-timeout, then swap: their writes to the table fail with 40001, their reads may miss rows
    Guard,
    /// Do not wait: stop at once
    Fail,
}

impl Old {
    fn policy(self) -> OldSnapshots {
        match self {
            Old::Wait => OldSnapshots::Wait,
            Old::Guard => OldSnapshots::Guard,
            Old::Fail => OldSnapshots::Fail,
        }
    }
}

/// How patiently.
#[derive(Debug, ClapArgs)]
pub(crate) struct Locks {
    /// The longest that others may queue behind one request for a lock, over all its tables
    #[arg(long, default_value = "300ms", value_parser = duration::parse)]
    lock_timeout: Duration,
    /// The longest that the locks of the swap may be held
    #[arg(long, default_value = "300ms", value_parser = duration::parse)]
    max_lock_time: Duration,
    /// How often a lock is asked for before giving up
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    lock_attempts: u32,
    /// How long to wait for transactions that are older than the new table, before the swap and after it
    #[arg(long, default_value = "10min", value_parser = duration::parse)]
    snapshot_timeout: Duration,
    /// What to do about such transactions
    #[arg(long, value_enum, default_value = "wait")]
    old_snapshots: Old,
    /// After asking in vain for so long, end the sessions that hold the table (never by default)
    #[arg(long, value_parser = duration::parse)]
    kill_blockers_after: Option<Duration>,
}

/// A table or an id: not what belongs to -d, which messages about tables would repeat.
fn table_or_id(text: &str) -> Result<String, String> {
    if may_hold_password(text) && !text.contains('"') {
        return Err("that is no table: a connection string goes with -d".to_owned());
    }
    Ok(text.to_owned())
}

/// A size as the server writes it, in kB.
fn memory(text: &str) -> Result<u32, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "kB" => Some(1),
        "MB" => Some(1 << 10),
        "GB" => Some(1 << 20),
        _ => None,
    };
    let size = digits.parse::<u32>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    // What the server takes: guc_tables.c, MAX_KILOBYTES.
    size.filter(|size| (1024..=i32::MAX as u32).contains(size))
        .ok_or_else(|| "a size from 1MB to 2047GB is needed, with kB, MB or GB".to_owned())
}

/// A ratio from 0 to 100.
fn nice_ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=100.0).contains(&ratio) => Ok(ratio),
        _ => Err("a number from 0 to 100 is needed".to_owned()),
    }
}

impl Args {
    pub(crate) fn connection(&self) -> ConnectionArgs {
        ConnectionArgs {
            dbname: self.dbname.clone(),
            host: self.host.clone(),
            port: self.port,
            user: self.username.clone(),
        }
    }

    pub(crate) fn options(&self) -> Result<Options> {
        let mut options = Options::default();
        let locks = match &self.command {
            Command::Run { pace, locks, .. } => {
                options.nice_ratio = pace.nice_ratio;
                options.copy = CopyOptions::new(pace.jobs.into(), pace.chunk_time, pace.nice_ratio > 0.0);
                options.index_jobs = pace.index_jobs.into();
                options.maintenance_work_mem = pace.maintenance_work_mem;
                Some(locks)
            }
            Command::Rollback { locks, .. }
            | Command::Cleanup { locks, .. }
            | Command::Abort { locks, .. } => Some(locks),
            _ => None,
        };
        if let Some(locks) = locks {
            if locks.lock_timeout < Duration::from_millis(1) || locks.max_lock_time < Duration::from_millis(1)
            {
                return Err(Error::usage("--lock-timeout and --max-lock-time must be at least 1ms"));
            }
            options.snapshots =
                SnapshotPolicy { old: locks.old_snapshots.policy(), timeout: locks.snapshot_timeout };
            options.lock = LockPolicy {
                lock_timeout: locks.lock_timeout,
                max_lock_time: locks.max_lock_time,
                attempts: locks.lock_attempts,
                kill_blockers_after: locks.kill_blockers_after,
            };
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn h_is_the_host_as_in_psql() {
        let args = Args::try_parse_from(["pgrecast", "-h", "db1", "list"]).unwrap();
        assert_eq!(args.host.as_deref(), Some("db1"));
    }

    #[test]
    fn a_quoted_word_is_the_same_word_to_a_shell() {
        for text in ["plain", "it's", "a\\b", "add a int,\n\tadd \"b\u{9b}'\\\" int", "\x1b[2J\u{202e}"] {
            let script = format!("printf %s {}", quote(text));
            let output =
                std::process::Command::new("bash").args(["-c", &script]).env("LC_ALL", "C.UTF-8").output();
            assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), text);
            assert!(!quote(text).contains(acts));
        }
    }

    #[test]
    fn a_bare_number_is_no_duration() {
        assert!(
            Args::try_parse_from(["pgrecast", "run", "t", "--rebuild", "--lock-timeout", "300"]).is_err()
        );
    }
}
