//! What a migration will need: from the catalog and stated assumptions, or from a sample that was copied.

use serde::Serialize;

use super::class::Class;
use crate::catalog::Definition;

/// Bytes of table that a copy with its index builds, vacuum and verification brings over in a second;
/// measured on two cores with default settings, and meant as the order of magnitude.
const BYTES_PER_SECOND: f64 = 40e6;

/// Written to the log per copied byte: the row, its index entries, hint bits of the vacuum.
const WAL_PER_BYTE: f64 = 1.3;

/// Bytes of table that are read in a second to prove a constraint or to build an index, by one session.
const BYTES_READ_PER_SECOND: f64 = 200e6;

/// What a copy takes at the default pace, in times of copying without pauses: it pauses for one and a half times as long,
/// and commits every few milliseconds.
const DEFAULT_PACE: f64 = 3.0;

/// Vacuum, statistics and verification, in times of copying without pauses. docs/performance.md has them by phase.
const AFTERWARDS: f64 = 1.0;

/// What every run takes, in seconds: its schemas, triggers, waits.
const AT_LEAST: f64 = 0.5;

/// From how much to how much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Span {
    /// Not less than this, most likely.
    pub low: f64,
    /// As it comes out.
    pub likely: f64,
    /// Not more than this, most likely.
    pub high: f64,
}

impl Span {
    fn around(likely: f64, low: f64, high: f64) -> Self {
        Span { low: likely * low, likely, high: likely * high }
    }
}

/// What it will need.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// `catalog`, or `sample` if rows were copied for it.
    pub basis: &'static str,
    /// Rows, as the statistics have it.
    pub rows: i64,
    /// Size of the table now, without indexes.
    pub table_bytes: i64,
    /// The same with its indexes.
    pub total_bytes: i64,
    /// Bytes of disk needed until `cleanup`.
    pub disk_bytes: Span,
    /// Bytes of WAL written, without those of the application.
    pub wal_bytes: Span,
    /// Seconds at the default pace, without writers to keep up with.
    pub seconds: Span,
}

/// What was seen when some rows were copied onto the shadow, without pauses and by one session.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Blocks of the table that were read.
    pub blocks: i64,
    /// Blocks that it has.
    pub total_blocks: i64,
    /// Rows that were copied.
    pub rows: i64,
    /// Size of the shadow with them, TOAST and all.
    pub table_bytes: i64,
    /// Size of its indexes.
    pub index_bytes: i64,
    /// WAL of the copy.
    pub wal_bytes: i64,
    /// How long they took to copy.
    pub copy_seconds: f64,
    /// How long the indexes took to build.
    pub index_seconds: f64,
}

/// The estimate for a change of this class. Of how many rows are kept if not all are, the catalog says nothing.
#[must_use]
pub fn estimate(original: &Definition, class: Class, keeps_all: bool, sample: Option<&Sample>) -> Estimate {
    let table = &original.table;
    let all = (table.table_bytes + table.index_bytes) as f64;
    let nothing = Span::around(0.0, 1.0, 1.0);
    let (disk_bytes, wal_bytes, seconds) = match (class, sample) {
        (Class::Copy, Some(sample)) => of_sample(sample),
        (Class::Copy, None) => {
            let low = if keeps_all { 0.5 } else { 0.0 };
            (
                Span::around(all, low, 1.3),
                Span::around(all * WAL_PER_BYTE, low, 2.0),
                Span::around((all / BYTES_PER_SECOND).max(AT_LEAST), low, 4.0),
            )
        }
        (Class::Instant, _) => (nothing, nothing, Span::around(0.1, 1.0, 1.0)),
        (Class::Staged, _) => {
            let seconds = (table.table_bytes as f64 / BYTES_READ_PER_SECOND).max(0.2);
            (nothing, nothing, Span::around(seconds, 0.5, 4.0))
        }
    };
    Estimate {
        basis: if class == Class::Copy && sample.is_some() { "sample" } else { "catalog" },
        rows: table.rows_estimated as i64,
        table_bytes: table.table_bytes,
        total_bytes: all as i64,
        disk_bytes,
        wal_bytes,
        seconds,
    }
}

/// Disk, WAL and seconds. The parts that were not sampled may be emptier, or have longer rows.
fn of_sample(sample: &Sample) -> (Span, Span, Span) {
    let times = sample.total_blocks as f64 / sample.blocks as f64;
    let (few, all) = (sample.rows as f64, sample.rows as f64 * times);
    // Sorting takes n log n.
    let sorting = times * (all.max(2.0).ln() / few.max(2.0).ln());
    let bytes = |bytes: i64| bytes as f64 * times;
    let disk = bytes(sample.table_bytes) + bytes(sample.index_bytes);
    let wal = bytes(sample.wal_bytes) + bytes(sample.index_bytes);
    let copy = sample.copy_seconds * times;
    let seconds = copy * (DEFAULT_PACE + AFTERWARDS) + sample.index_seconds * sorting + AT_LEAST;
    (Span::around(disk, 0.8, 1.25), Span::around(wal, 0.8, 1.5), Span::around(seconds, 0.5, 2.0))
}
