//! The plan as a person reads it.

use std::fmt::Write;

use pgrecast::plan::Plan;
use pgrecast::plan::estimate::Span;
use pgrecast::plan::layout::{HEADER, Layout};

use super::args::{Change, quote};
use super::units::{bytes, clock, short};

const WIDTH: usize = 80;

pub(crate) fn show(plan: &Plan, change: &Change) -> String {
    let mut out = String::new();
    let e = &plan.estimate;
    let _ = writeln!(
        out,
        "{}   {} rows   {} with indexes   PostgreSQL {}\n",
        plan.table,
        short(e.rows as f64),
        bytes(e.total_bytes),
        plan.server.split(' ').next().unwrap_or_default()
    );
    for action in &plan.actions {
        wrap(&mut out, "", "    ", &action.sql);
        if plan.refusals.is_empty() {
            wrap(&mut out, "    ", "    ", &format!("{}: {}", action.class, action.reason));
        }
    }
    if plan.actions.is_empty() {
        let _ = writeln!(out, "rebuild, no change of shape");
    }
    for words in change.which_rows() {
        wrap(&mut out, "", "    ", &words);
    }
    let how = match plan.strategy.as_str() {
        "instant" => "on the table itself, in one short transaction",
        "staged" => "on the table itself, in steps; nothing is copied",
        _ => "shadow table, captured writes, swap in one short transaction",
    };
    if plan.refusals.is_empty() {
        let _ = writeln!(out, "strategy: {}   {how}\n", plan.strategy);
    }
    if !plan.refusals.is_empty() {
        let _ = writeln!(out, "refused");
        for refusal in &plan.refusals {
            let hint = refusal.hint.as_ref().map(|hint| format!(" {hint}")).unwrap_or_default();
            item(
                &mut out,
                &format!("{} {}", refusal.code, refusal.object),
                &format!("{}.{hint}", refusal.message),
            );
        }
        let _ = writeln!(out, "nothing was changed.");
        return out;
    }
    let changed: Vec<_> = plan
        .columns
        .iter()
        .filter(|c| c.from != c.to || c.expression.as_ref().is_some_and(|e| !e.ends_with('"')))
        .collect();
    if !changed.is_empty() {
        let _ = writeln!(out, "columns");
        for column in changed {
            let text = match (&column.from, &column.to) {
                (Some(from), None) => format!("{from} is dropped"),
                (None, Some(to)) => match &column.expression {
                    Some(given) if given.starts_with("(null)") => {
                        format!("{to} is new, NULL in rows that are there")
                    }
                    Some(given) => format!("{to} is new, {given} in rows that are there"),
                    None => format!("{to} is new"),
                },
                (Some(from), Some(to)) => {
                    let by = column.expression.clone().unwrap_or_default();
                    if from == to { format!("{to} := {by}") } else { format!("{from} becomes {to} := {by}") }
                }
                (None, None) => continue,
            };
            wrap(&mut out, "  ", "    ", &text);
        }
    }
    if !plan.dependents.is_empty() {
        let _ = writeln!(out, "carried over");
        for dependent in &plan.dependents {
            let line = format!("{:<12} {}: {}", dependent.kind, dependent.name, dependent.handling);
            wrap(&mut out, "  ", "               ", &line);
        }
    }
    if plan.steps.is_empty() {
        locks(&mut out, plan);
    } else {
        steps(&mut out, plan);
    }
    if let Some(layout) = &plan.layout {
        row(&mut out, layout, change);
    }
    let _ = writeln!(out, "rollback");
    if plan.rollback.lossless {
        let _ = writeln!(out, "  lossless");
    }
    for note in &plan.rollback.notes {
        item(&mut out, "", note);
    }
    if !plan.risks.is_empty() {
        let _ = writeln!(out, "risks");
        for risk in &plan.risks {
            item(&mut out, risk.code.as_str(), &format!("{}: {}", risk.object, risk.message));
        }
    }
    let _ = writeln!(out, "nothing was changed. To do it:\n  {}", change.as_command());
    out
}

/// What is done on the table itself.
fn steps(out: &mut String, plan: &Plan) {
    let _ = writeln!(out, "steps");
    for (n, step) in plan.steps.iter().enumerate() {
        let also =
            if step.tables.is_empty() { String::new() } else { format!(", with {}", step.tables.join(", ")) };
        let how = if step.is_short { "for a moment" } else { "blocks neither readers nor writers" };
        wrap(out, "  ", "    ", &format!("{}. {}{also}, {how}", n + 1, step.lock));
        for statement in &step.statements {
            wrap(out, "     ", "       ", statement);
        }
    }
    let _ = writeln!(out, "  a lock is asked for at most 300 ms at a time, then let go and tried again");
    let _ = writeln!(out, "needs\n  {}", time(plan));
}

/// What a copy locks and needs.
fn locks(out: &mut String, plan: &Plan) {
    let e = &plan.estimate;
    let _ = writeln!(out, "locks");
    let line = format!("create triggers  SHARE ROW EXCLUSIVE on {}, some ms", plan.table);
    wrap(out, "  ", "                   ", &line);
    let objects: Vec<&str> = plan.locks.iter().map(|lock| lock.object.as_str()).collect();
    let line = format!("swap             ACCESS EXCLUSIVE on {}, some tens of ms", objects.join(", "));
    wrap(out, "  ", "                   ", &line);
    let _ = writeln!(out, "  each asked for at most 300 ms at a time, then let go and tried again");
    let _ = writeln!(
        out,
        "needs ({})\n  {} of disk until cleanup, {} of WAL\n  {} at the default pace, without writers",
        if e.basis == "sample" { "measured on a sample" } else { "from its size: --sample measures" },
        between(e.disk_bytes),
        between(e.wal_bytes),
        time(plan)
    );
}

/// What the order of columns saves, or could save.
fn row(out: &mut String, layout: &Layout, change: &Change) {
    let with_header = |bytes: f64| bytes + HEADER;
    let (before, now, least) =
        (with_header(layout.bytes_before), with_header(layout.bytes), with_header(layout.bytes_least));
    if change.orders_columns() || layout.is_loose() {
        let _ = writeln!(out, "row");
    }
    if change.orders_columns() {
        let _ = writeln!(out, "  about {now:.0} bytes, {before:.0} with the columns in their places");
    }
    if layout.is_loose() {
        let _ = writeln!(out, "  about {least:.0} bytes instead of {now:.0} with columns in another order:");
        let _ = writeln!(out, "    --columns {}", quote(&layout.least.join(",")));
    }
}

fn between(span: Span) -> String {
    let (low, high) = (bytes(span.low as i64), bytes(span.high as i64));
    if low == high { format!("about {low}") } else { format!("{low} to {high}") }
}

fn time(plan: &Plan) -> String {
    let (low, high) = (clock(plan.estimate.seconds.low), clock(plan.estimate.seconds.high));
    if low == high { format!("about {low}") } else { format!("{low} to {high}") }
}

/// A label, and words below it.
fn item(out: &mut String, label: &str, words: &str) {
    if label.is_empty() {
        return wrap(out, "  ", "  ", words);
    }
    let _ = writeln!(out, "  {label}");
    wrap(out, "    ", "    ", words);
}

fn wrap(out: &mut String, first: &str, then: &str, words: &str) {
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(first)
        .subsequent_indent(then)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let _ = writeln!(out, "{}", textwrap::fill(words, options));
}
