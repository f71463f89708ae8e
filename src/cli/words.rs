//! Texts for the events of a run.

use pgrecast::run::events::{Detail, Note, Outcome};

use super::units::grouped;

/// More about the progress.
pub(crate) fn detail(detail: &Detail) -> String {
    match detail {
        Detail::None => String::new(),
        Detail::Object(name) => name.clone(),
        Detail::Statements(statements) => statements.join("; "),
        Detail::ServerPhase(phase) => phase.clone(),
        Detail::Sessions(1) => "replaying changed rows in 1 session".into(),
        Detail::Sessions(sessions) => format!("replaying changed rows in {sessions} sessions"),
        Detail::Round { keys, took } => format!("last round: {keys} keys in {} ms", took.as_millis()),
        Detail::Equal(rows) => format!("{} rows equal", grouped(*rows)),
    }
}

/// The result of a step; empty if there is nothing more to say than that it is done.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => String::new(),
        Outcome::Locked { attempts, waited } => {
            format!("lock granted after {}, waited {} ms", tries(*attempts), waited.as_millis())
        }
        Outcome::Copied { rows, took } => {
            let rate = *rows as f64 / took.as_secs_f64().max(0.001);
            format!("{} rows, {:.0} k/s", grouped(*rows), rate / 1000.0)
        }
        Outcome::Built(indexes) => format!("{indexes} built"),
        Outcome::Vacuumed => "visibility map and statistics are up to date".into(),
        Outcome::NoneOlder => "no transaction is older than the new table".into(),
        Outcome::Equal { rows, pending } => {
            format!(
                "{} rows equal, 0 differences; {} pending changes accounted for",
                grouped(*rows),
                grouped(*pending)
            )
        }
        Outcome::Swapped { held, attempts } => {
            format!("lock held {} ms after {}", held.as_millis(), tries(*attempts))
        }
        Outcome::Validated { without_guard: true } => "foreign keys valid, guard dropped".into(),
        Outcome::Validated { without_guard: false } => "foreign keys valid".into(),
        Outcome::Level => "the retired table is up to date".into(),
        Outcome::Ran(statements) => statements.join("; "),
        Outcome::Read => "all rows read".into(),
    }
}

fn tries(attempts: u32) -> String {
    if attempts == 1 { "1 try".into() } else { format!("{attempts} tries") }
}

/// A note about something unusual.
pub(crate) fn note(note: &Note) -> String {
    match note {
        Note::LockNotGranted { purpose, attempt, of, blockers } => {
            let purpose = purpose.as_str();
            let what = purpose.strip_prefix("the ").unwrap_or(purpose);
            let who = if blockers.is_empty() {
                String::new()
            } else {
                format!(", held by {}", blockers.join("; "))
            };
            format!("{what}: lock not granted (try {attempt} of {of}){who}")
        }
        Note::BlockerEnded(who) => format!("--kill-blockers-after: {who}"),
        Note::SwapUndone(why) => format!("swap rolled back, will be retried: {why}"),
        Note::FileChanged(table) => {
            format!("another session has truncated or rewritten {table}: the copy starts again")
        }
        Note::VerificationRestarts(why) => format!("verification starts again: {why}"),
        Note::VerificationGaveWay(who) => {
            format!("verification paused for {who}, which waits for a lock on the table")
        }
        Note::OlderTransactions(who) => {
            format!("waiting for transactions older than the new table: {}", who.join("; "))
        }
        Note::OlderIgnored(who) => {
            format!("going on in spite of older transactions (--old-snapshots guard): {}", who.join("; "))
        }
        Note::GuardStays(who) => {
            format!(
                "the guard stays until `pgrecast run` finds no transaction older than the swap: {}",
                who.join("; ")
            )
        }
        Note::NotOurs { kind, name } => {
            format!("this migration did not create {kind} {name}: not dropped")
        }
        Note::OrphansEnded => "terminated sessions that an earlier run left behind".into(),
    }
}
