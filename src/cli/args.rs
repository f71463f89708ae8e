//! The arguments of the command line.

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

/// Change the shape of a live PostgreSQL table without long locks and without losing a write
///
/// Builds a shadow table with the new shape, captures every write to the original, copies the rows, verifies that both
/// tables are equal, and exchanges them in one short transaction. Changes to the new table are captured for the former
/// table until you run `cleanup`.
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
    /// Print more to stderr; twice: every chunk and statement
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Format of the events on stderr
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Print help
    #[arg(long, global = true, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 failed, safe to run again; 2 wrong usage; 3 refused by the plan; 4 stopped on
request, run again to continue; 5 needs a person (data that does not fit, duplicates, differences).

Passwords: ~/.pgpass, PGPASSFILE, PGPASSWORD or the service file; never on the command line.

Example:
  pgrecast plan orders --alter 'alter column id type bigint'
  pgrecast run orders --alter 'alter column id type bigint'
  pgrecast rollback orders     (undo the change, keep all writes)
  pgrecast cleanup orders      (keep the change, free the space)";

/// Format of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Plain text
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a change does, which locks and how much space it needs, and its risks; change nothing
    Plan {
        #[command(flatten)]
        change: Change,
        /// Read all rows: count those that do not convert or would change, NULLs, duplicates and orphans, and print the
        /// keys of ten
        #[arg(long)]
        check_data: bool,
        /// Copy some thousand rows and roll that back, to measure the time, disk space and WAL that the change needs
        #[arg(long)]
        sample: bool,
        /// Exit with 3 if one of these risks is found (codes, separated by commas; any: all but prepared-statements and
        /// hidden-transactions, which nearly every change has)
        #[arg(long, value_name = "CODES", value_delimiter = ',')]
        fail_on: Vec<FailOn>,
    },
    /// Perform a change, or continue an open migration
    ///
    /// Without --alter, --file or --rebuild it continues a migration: the one named by id or table, or the only one
    /// that is open. On a swapped migration it validates foreign keys that are not valid yet and brings the retired
    /// table up to date (suitable for cron). It does not drop the former table: only `cleanup` does.
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
        /// Refresh every second, until Ctrl-C
        #[arg(long, conflicts_with = "json")]
        watch: bool,
    },
    /// List all migrations
    List {
        /// Only open migrations
        #[arg(long)]
        open: bool,
    },
    /// Compare all rows of both tables now, before or after the swap
    Verify {
        #[command(flatten)]
        select: Select,
    },
    /// Put the original back, with everything written since the swap
    Rollback {
        #[command(flatten)]
        select: Select,
        #[command(flatten)]
        locks: Locks,
    },
    /// Keep the change: drop the retired table and everything else that the migration created
    Cleanup {
        #[command(flatten)]
        select: Select,
        /// Clean up all migrations that were swapped or rolled back longer ago than this, for example 7d
        #[arg(long, value_parser = duration::parse, conflicts_with = "id")]
        older_than: Option<Duration>,
        #[command(flatten)]
        locks: Locks,
    },
    /// Undo a migration before the swap: leave the database as it was
    Abort {
        #[command(flatten)]
        select: Select,
        #[command(flatten)]
        locks: Locks,
    },
}

/// Which strategy to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// The cheapest that loses no data
    #[default]
    Auto,
    /// Use a shadow table, and keep the former table for a rollback
    Copy,
    /// Change the table itself, or refuse; dropped columns are lost
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

/// The requested change.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Change {
    /// The table (schema.table, quoted as in SQL); for `run` also the id of a migration to continue
    #[arg(value_name = "TABLE", value_parser = table_or_id)]
    table: Option<String>,
    /// Actions of ALTER TABLE, separated by commas; may be repeated, applied in order
    #[arg(long, value_name = "ACTIONS")]
    alter: Vec<String>,
    /// A file of ALTER TABLE, CREATE INDEX and DROP INDEX statements for one table, `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["alter", "rebuild"])]
    file: Option<String>,
    /// Keep the shape: rewrite the table without bloat
    #[arg(long, conflicts_with = "alter")]
    rebuild: bool,
    /// How to perform the change; `plan` says what each action needs
    #[arg(long, value_enum, default_value = "auto")]
    strategy: Way,
    /// Value of an added column for existing rows; it may use the other columns of the new shape
    #[arg(long, value_name = "COLUMN=EXPRESSION", conflicts_with = "rebuild")]
    set: Vec<String>,
    /// Keep only the rows that satisfy this condition on the columns of the old shape; `run` needs --allow-row-loss
    #[arg(long = "where", value_name = "CONDITION")]
    filter: Option<String>,
    /// Copy the rows in the order of an index (its name, or its leading columns); slower, in one session
    #[arg(long, value_name = "INDEX|COLUMNS")]
    order_by: Option<String>,
    /// Reorder the columns: these first, added columns last. `plan` says how much space an order saves
    #[arg(long, value_name = "COLUMNS")]
    columns: Option<String>,
    /// Confirm that the rows that --where leaves out may be lost
    #[arg(long, requires = "filter")]
    allow_row_loss: bool,
    /// How to compute a column of the old shape from the new shape, where no assignment cast exists
    #[arg(long, value_name = "COLUMN=EXPRESSION")]
    reverse: Vec<String>,
}

impl Change {
    pub(crate) fn asks_for_change(&self) -> bool {
        !self.alter.is_empty() || self.file.is_some() || self.rebuild || self.chooses_rows()
    }

    /// The options that choose and order rows and columns, in words.
    pub(crate) fn which_rows(&self) -> Vec<String> {
        let filter = self.filter.iter().map(|filter| format!("only rows where {filter}"));
        let order =
            self.order_by.iter().map(|order| format!("copied in the order of {order}, in one session"));
        let columns = self.columns.iter().map(|columns| format!("columns in another order: {columns} first"));
        filter.chain(order).chain(columns).collect()
    }

    /// Whether the options choose rows, or the order of rows or columns. That alone is a change, too.
    fn chooses_rows(&self) -> bool {
        self.filter.is_some() || self.order_by.is_some() || self.columns.is_some()
    }

    /// Whether `--columns` is given.
    pub(crate) fn orders_columns(&self) -> bool {
        self.columns.is_some()
    }

    /// # Errors
    /// Refused, if rows would be lost without `--allow-row-loss`.
    pub(crate) fn expect_allowed(&self) -> Result<()> {
        match &self.filter {
            Some(filter) if !self.allow_row_loss => Err(Error::refused(
                Code::RowLoss,
                format!("rows that do not satisfy {filter} would be lost after cleanup"),
            )
            .state("nothing was changed")
            .hint(
                "If that is what you want, add --allow-row-loss. The former table keeps the rows until cleanup.",
            )),
            _ => Ok(()),
        }
    }

    /// The id or table of the migration to continue.
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
                .hint("With --file, pgrecast takes the table from the file: leave the name out."));
            }
            (table.or(named), alter)
        } else if self.rebuild || (self.alter.is_empty() && self.chooses_rows()) {
            (named, Alter::rebuild())
        } else if self.alter.is_empty() {
            return Err(Error::usage("no change is given")
                .hint("Give --alter '<actions>', --file FILE, or --rebuild."));
        } else {
            (named, Alter::from_actions(&self.alter)?)
        };
        let set = self.set.iter().map(|text| read_assignment("--set", text)).collect::<Result<Vec<_>>>()?;
        alter.set(&set)?;
        let table = table.ok_or_else(|| {
            Error::usage("no table is given").hint(
                "Give its name: pgrecast run TABLE --alter '..', or for a file of DROP INDEX: run TABLE --file ..",
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

    /// The command that performs the plan, to copy and paste.
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

/// Quotes the text as one word for the shell. Text with control characters is written as `$'..'` (POSIX 2024 and bash),
/// with their numbers, so that the command can still be copied.
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

/// An existing migration.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Select {
    /// Id, a unique prefix of it, or table; optional if only one migration is open
    #[arg(value_name = "ID", value_parser = table_or_id)]
    pub(crate) id: Option<String>,
}

/// Options for the speed.
#[derive(Debug, ClapArgs)]
pub(crate) struct Pace {
    /// Number of sessions that copy in parallel
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Number of indexes to build in parallel
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    index_jobs: u16,
    /// Memory for each index build, for example 1GB; default: 32MB with pauses (--nice-ratio), otherwise the server's
    /// setting
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    maintenance_work_mem: Option<u32>,
    /// Target duration of one copy transaction; default: 3ms with pauses (--nice-ratio), otherwise 30ms
    #[arg(long, value_parser = duration::parse)]
    chunk_time: Option<Duration>,
    /// Pause after each copy transaction, as a multiple of its duration; 0: no pauses, and the server may use parallel
    /// workers for index builds and comparisons
    #[arg(long, default_value_t = 1.5, value_parser = nice_ratio)]
    nice_ratio: f64,
}

/// What to do about transactions older than the new table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Old {
    /// Wait for them up to --snapshot-timeout, then stop; the same command continues later
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

/// Options for locks and waiting.
#[derive(Debug, ClapArgs)]
pub(crate) struct Locks {
    /// Maximum time that other sessions may wait behind one lock request, over all its tables
    #[arg(long, default_value = "300ms", value_parser = duration::parse)]
    lock_timeout: Duration,
    /// Maximum time to hold the locks of the swap
    #[arg(long, default_value = "300ms", value_parser = duration::parse)]
    max_lock_time: Duration,
    /// How often to try to acquire a lock before the command fails
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    lock_attempts: u32,
    /// How long to wait for transactions that are older than the new table, before and after the swap
    #[arg(long, default_value = "10min", value_parser = duration::parse)]
    snapshot_timeout: Duration,
    /// What to do about such transactions
    #[arg(long, value_enum, default_value = "wait")]
    old_snapshots: Old,
    /// If a lock is not acquired in this time, terminate the sessions that hold locks on the table; default: never
    #[arg(long, value_parser = duration::parse)]
    kill_blockers_after: Option<Duration>,
}

/// A table or an id. A connection string is refused: it belongs to `-d`, and messages about tables would repeat it.
fn table_or_id(text: &str) -> Result<String, String> {
    if may_hold_password(text) && !text.contains('"') {
        return Err("this is not a table: give the connection string with -d".to_owned());
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
    // The limits of the server: guc_tables.c, MAX_KILOBYTES.
    size.filter(|size| (1024..=i32::MAX as u32).contains(size))
        .ok_or_else(|| "give a size from 1MB to 2047GB, with the unit kB, MB or GB".to_owned())
}

/// A ratio from 0 to 100.
fn nice_ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=100.0).contains(&ratio) => Ok(ratio),
        _ => Err("give a number from 0 to 100".to_owned()),
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
