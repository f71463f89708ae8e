//! The status as text: what is happening, whether the application is safe, and which commands are possible now.

use pgrecast::engine::Status;

use super::page::{Page, folded};
use super::terminal::clean;
use super::units::{bytes, clock, grouped, short};

const WIDTH: usize = 80;

fn short_id(status: &Status) -> &str {
    status.id.as_deref().map_or("-", |id| &id[..8])
}

fn phase(status: &Status) -> &str {
    status.phase.as_deref().unwrap_or("-")
}

/// One migration.
pub(crate) fn one(status: &Status) -> String {
    let mut out = Page::default();
    let id = short_id(status);
    let running = match status.runner_pid {
        Some(pid) => format!("running: backend {pid}"),
        None => "not running".to_owned(),
    };
    out.line(format!("{id}  {}  {}   {running}", status.tables.join(", "), phase(status)));
    let parts = [
        copied(status),
        step(status),
        log(status),
        status.throttle.reason.clone(),
        blocked(status),
        verified(status),
        held(status),
        kept(status),
        not_valid(status),
        last_error(status),
        Some(safety(status).to_owned()),
    ];
    for line in parts.into_iter().flatten().chain(next(status)) {
        out.line(format!("      {line}"));
    }
    out.into_text()
}

fn copied(status: &Status) -> Option<String> {
    let rate = status.rows_per_second.map(|rate| format!("  {}/s", short(rate))).unwrap_or_default();
    let eta = status.eta_seconds.map(|eta| format!("  ETA {}", clock(eta))).unwrap_or_default();
    let (rows, of) = (grouped(status.rows_copied), grouped(status.rows_estimated));
    (phase(status) == "capturing").then(|| format!("copied {rows} of about {of} rows{rate}{eta}"))
}

fn step(status: &Status) -> Option<String> {
    let done = status.steps.iter().filter(|step| step.done).count();
    let next = status.steps.get(done).filter(|_| phase(status) == "planned")?;
    let statements = folded(&next.statements.join("; "));
    Some(format!("step {} of {}: {statements}", done + 1, status.steps.len()))
}

fn log(status: &Status) -> Option<String> {
    let backlog = grouped(status.log_backlog?);
    let (keys, rounds) = (grouped(status.keys_replayed), grouped(status.rounds));
    Some(format!("log {backlog} changes to replay; {keys} keys replayed in {rounds} rounds"))
}

fn blocked(status: &Status) -> Option<String> {
    let (tries, who) = (status.lock.attempts, status.lock.blockers.join("; "));
    let is_blocked = status.runner_pid.is_some() && !who.is_empty();
    is_blocked.then(|| format!("lock not granted in {tries} tries, held by {who}"))
}

fn verified(status: &Status) -> Option<String> {
    let verify = status.verify.as_ref()?;
    let words = match (verify.rows, verify.differences) {
        (Some(rows), Some(0)) => format!("{} rows equal, 0 differences", grouped(rows)),
        (_, Some(_)) => "rows differ".to_owned(),
        _ => "did not finish".to_owned(),
    };
    Some(format!("verified {words} ({})", verify.finished_at.as_deref().unwrap_or("-")))
}

fn held(status: &Status) -> Option<String> {
    let held = status.lock.held_ms.filter(|_| status.steps.is_empty())?;
    let (tries, waited) = (status.lock.attempts, status.lock.waited_ms);
    Some(format!("swap held its locks for {held:.0} ms; {tries} tries, waited {waited:.0} ms"))
}

fn kept(status: &Status) -> Option<String> {
    let what = if phase(status) == "rolled_back" { "kept" } else { "retired" };
    Some(format!("{what} {}", retired(status)?))
}

fn not_valid(status: &Status) -> Option<String> {
    let names = status.not_validated.join(", ");
    (!names.is_empty()).then(|| format!("NOT VALID until `pgrecast run` continues: {names}"))
}

fn last_error(status: &Status) -> Option<String> {
    let error = status.error.as_ref()?;
    let since = error.since.as_ref().map(|since| format!(" (since {since})")).unwrap_or_default();
    Some(format!("last error{since}: {}", error.message))
}

/// `schema.table (38 GB); 12 changes behind`.
fn retired(status: &Status) -> Option<String> {
    let retired = status.retired.as_ref()?;
    let behind =
        retired.reverse_backlog.map(|n| format!("; {} changes behind", grouped(n))).unwrap_or_default();
    Some(format!("{} ({}){behind}", retired.table, bytes(retired.bytes)))
}

fn safety(status: &Status) -> &'static str {
    match phase(status) {
        "finished" if !status.steps.is_empty() => "the change is complete; there is nothing to clean up",
        "finished" | "aborted" => "nothing of this migration is left",
        "rolled_back" => "the original is in place",
        "planned" if !status.steps.is_empty() => {
            "the table is in use; safe to kill: yes, `pgrecast run` continues"
        }
        "swapped" => "the new table is in place; safe to kill: yes, `pgrecast run` continues",
        "retired_level" | "retired_verified" => {
            "the new table is in place, a rollback has begun; safe to kill: yes, `pgrecast rollback` continues"
        }
        _ => "the original table is in use; safe to kill: yes, `pgrecast run` continues",
    }
}

/// The next commands, to copy and paste.
fn next(status: &Status) -> Vec<String> {
    let id = short_id(status);
    match phase(status) {
        "finished" | "aborted" => Vec::new(),
        "rolled_back" if status.retired.is_none() => Vec::new(),
        "rolled_back" => vec![format!("free the space: pgrecast cleanup {id}")],
        "retired_level" | "retired_verified" if status.runner_pid.is_some() => Vec::new(),
        "swapped" | "retired_level" | "retired_verified" => vec![
            format!("undo the change, keep all writes: pgrecast rollback {id}"),
            format!("keep the change, free the space:  pgrecast cleanup {id}"),
        ],
        _ if status.runner_pid.is_some() => Vec::new(),
        _ => vec![format!("continue: pgrecast run {id}"), format!("undo:     pgrecast abort {id}")],
    }
}

/// One line per migration.
pub(crate) fn list(all: &[Status], open_only: bool) -> String {
    if all.is_empty() {
        let what =
            if open_only { "no migration is open" } else { "there are no migrations in this database" };
        return format!("{what}\n");
    }
    let mut out = Page::default();
    for status in all {
        let begun = status.begun_at.as_deref().unwrap_or("-").get(..16).unwrap_or("-");
        let line = format!(
            "{}  {begun}  {:<11} {}  {}",
            short_id(status),
            phase(status),
            status.tables.join(", "),
            folded(&status.change.join("; "))
        );
        out.line(clean(&line).chars().take(WIDTH).collect::<String>().trim_end());
    }
    out.into_text()
}

/// The last lines of a command that succeeded.
pub(crate) fn ending(status: &Status, what: &str) -> String {
    let mut out = Page::default();
    let tables = status.tables.join(", ");
    match what {
        "abort" => {
            out.line(format!(
                "migration {} is aborted: nothing of it is left on {tables}.",
                short_id(status)
            ));
        }
        "cleanup" => {
            out.line(format!(
                "migration {} is cleaned up: only its history in schema pgrecast remains.",
                short_id(status)
            ));
        }
        "verify" => {
            let rows = status.verify.as_ref().and_then(|verify| verify.rows).unwrap_or_default();
            out.line(format!("{} rows of {tables} are equal in both tables, 0 differences.", grouped(rows)));
        }
        "rollback" => {
            out.line(format!(
                "{tables} has its former shape again, with everything written since, as far as that shape can hold it."
            ));
        }
        _ if status.steps.is_empty() => {
            out.line(format!("{tables} is changed."));
        }
        _ => {
            out.line(format!(
                "{tables} is changed. The change was made on the table itself: there is nothing to clean up."
            ));
        }
    }
    if let Some(retired) = retired(status) {
        match phase(status) {
            "rolled_back" => out.line(format!("The new table is kept in {retired}.")),
            _ => out.line(format!("The former table is kept for a rollback in {retired}.")),
        }
    }
    if what != "cleanup" {
        for line in next(status) {
            out.line(format!("  {line}"));
        }
    }
    out.into_text()
}
