//! The plan as text.

use pgrecast::plan::Plan;
use pgrecast::plan::estimate::{Basis, Span};
use pgrecast::plan::layout::{HEADER, Layout};
use pgrecast::plan::report::ColumnChange;

use super::args::{Change, quote};
use super::page::{Page, folded};
use super::units::{bytes, clock, short};

pub(crate) fn show(plan: &Plan, change: &Change) -> String {
    let mut out = Page::default();
    head(&mut out, plan, change);
    if !plan.refusals.is_empty() {
        refusals(&mut out, plan);
        return out.into_text();
    }
    columns(&mut out, plan);
    if !plan.dependents.is_empty() {
        out.line("carried over");
        for dependent in &plan.dependents {
            let line = format!("{:<12} {}: {}", dependent.kind, dependent.name, dependent.handling);
            out.wrap("  ", "               ", &line);
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
    out.line("rollback");
    if plan.rollback.lossless {
        out.line("  lossless");
    }
    for note in &plan.rollback.notes {
        item(&mut out, "", note);
    }
    if !plan.risks.is_empty() {
        out.line("risks");
        for risk in &plan.risks {
            item(&mut out, risk.code.as_str(), &format!("{}: {}", risk.object, risk.message));
        }
    }
    out.line("nothing was changed. To do it:");
    out.line(format!("  {}", change.as_command()));
    out.into_text()
}

/// The table, the requested change, and the strategy.
fn head(out: &mut Page, plan: &Plan, change: &Change) {
    let e = &plan.estimate;
    out.line(format!(
        "{}   {} rows   {} with indexes   PostgreSQL {}",
        plan.table,
        short(e.rows as f64),
        bytes(e.total_bytes),
        plan.server.split(' ').next().unwrap_or_default()
    ));
    out.gap();
    let is_possible = plan.refusals.is_empty();
    for action in &plan.actions {
        out.wrap("", "    ", folded(&action.sql));
        if is_possible {
            out.wrap("    ", "    ", format!("{}: {}", action.class, action.reason));
        }
    }
    if plan.actions.is_empty() {
        out.line("rebuild, the shape stays the same");
    }
    for words in change.which_rows() {
        out.wrap("", "    ", &words);
    }
    let how = match plan.strategy.as_str() {
        "instant" => "on the table itself, in one short transaction",
        "staged" => "on the table itself, in steps; nothing is copied",
        _ => "shadow table, captured writes, swap in one short transaction",
    };
    if is_possible {
        out.line(format!("strategy: {}   {how}", plan.strategy));
        out.gap();
    }
}

fn refusals(out: &mut Page, plan: &Plan) {
    out.line("refused");
    for refusal in &plan.refusals {
        let hint = refusal.hint.as_ref().map(|hint| format!(" {hint}")).unwrap_or_default();
        item(out, &format!("{} {}", refusal.code, refusal.object), &format!("{}.{hint}", refusal.message));
    }
    out.line("nothing was changed.");
}

/// Columns that the change affects.
fn columns(out: &mut Page, plan: &Plan) {
    let is_changed =
        |c: &&ColumnChange| c.from != c.to || c.expression.as_ref().is_some_and(|e| !e.ends_with('"'));
    let changed: Vec<_> = plan.columns.iter().filter(is_changed).collect();
    if changed.is_empty() {
        return;
    }
    out.line("columns");
    for column in changed {
        let text = match (&column.from, &column.to) {
            (Some(from), None) => format!("{from} is dropped"),
            (None, Some(to)) => match &column.expression {
                Some(given) if given.starts_with("(null)") => format!("{to} is new, NULL for existing rows"),
                Some(given) => format!("{to} is new, {given} for existing rows"),
                None => format!("{to} is new"),
            },
            (Some(from), Some(to)) => {
                let by = column.expression.clone().unwrap_or_default();
                if from == to { format!("{to} := {by}") } else { format!("{from} becomes {to} := {by}") }
            }
            (None, None) => continue,
        };
        out.wrap("  ", "    ", folded(&text));
    }
}

/// The steps on the table itself.
fn steps(out: &mut Page, plan: &Plan) {
    out.line("steps");
    for (n, step) in plan.steps.iter().enumerate() {
        let also =
            if step.tables.is_empty() { String::new() } else { format!(", with {}", step.tables.join(", ")) };
        let how = if step.is_short { "for a moment" } else { "blocks neither readers nor writers" };
        out.wrap("  ", "    ", format!("{}. {}{also}, {how}", n + 1, step.lock));
        for statement in &step.statements {
            out.wrap("     ", "       ", folded(statement));
        }
    }
    out.line("  each lock is requested for at most 300 ms at a time, and retried");
    out.line("needs");
    out.line(format!("  {}", time(plan)));
}

/// The locks and resources of a copy.
fn locks(out: &mut Page, plan: &Plan) {
    let e = &plan.estimate;
    out.line("locks");
    let line = format!("create triggers  SHARE ROW EXCLUSIVE on {}, some ms", plan.table);
    out.wrap("  ", "                   ", &line);
    let objects: Vec<&str> = plan.locks.iter().map(|lock| lock.object.as_str()).collect();
    let line = format!("swap             ACCESS EXCLUSIVE on {}, some tens of ms", objects.join(", "));
    out.wrap("  ", "                   ", &line);
    out.line("  each requested for at most 300 ms at a time, and retried");
    let basis = if e.basis == Basis::Sample {
        "measured on a sample"
    } else {
        "estimated from the size; --sample measures"
    };
    out.line(format!("needs ({basis})"));
    out.line(format!("  {} of disk until cleanup, {} of WAL", between(e.disk_bytes), between(e.wal_bytes)));
    out.line(format!("  {} at the default pace, without writers", time(plan)));
}

/// How many bytes per row the order of columns saves, or could save.
fn row(out: &mut Page, layout: &Layout, change: &Change) {
    let with_header = |bytes: f64| bytes + HEADER;
    let (before, now, least) =
        (with_header(layout.bytes_before), with_header(layout.bytes), with_header(layout.bytes_least));
    if change.orders_columns() || layout.is_loose() {
        out.line("row");
    }
    if change.orders_columns() {
        out.line(format!("  about {now:.0} bytes, {before:.0} with the columns in their present order"));
    }
    if layout.is_loose() {
        out.line(format!("  about {least:.0} bytes instead of {now:.0} with columns in another order:"));
        out.line(format!("    --columns {}", quote(&layout.least.join(","))));
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

/// A label, and text below it.
fn item(out: &mut Page, label: &str, words: &str) {
    if label.is_empty() {
        return out.wrap("  ", "  ", words);
    }
    out.line(format!("  {label}"));
    out.wrap("    ", "    ", words);
}
