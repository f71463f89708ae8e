//! The resources that a migration needs, estimated from the catalog or measured on a sample.

use serde::Serialize;

use super::class::Class;
use crate::catalog::Definition;

/// Bytes of the table per second for a copy with its index builds, vacuum and verification. An order of magnitude,
/// measured on two cores with default settings.
const BYTES_PER_SECOND: f64 = 40e6;

/// WAL bytes per copied byte: the row, its index entries, hint bits of the vacuum.
const WAL_PER_BYTE: f64 = 1.3;

/// Bytes of the table per second that one session reads to validate a constraint or to build an index.
const BYTES_READ_PER_SECOND: f64 = 200e6;

/// Duration of a copy at the default pace, relative to a copy without pauses. It pauses for one and a half times as
/// long as it copies, and commits every few milliseconds.
const DEFAULT_PACE: f64 = 3.0;

/// Duration of vacuum, statistics and verification, relative to a copy without pauses. docs/performance.md has figures
/// per phase.
const AFTERWARDS: f64 = 1.0;

/// Fixed duration of every run, in seconds: its schemas, triggers and waits.
const AT_LEAST: f64 = 0.5;

/// A range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Span {
    /// Probable minimum.
    pub low: f64,
    /// Most likely value.
    pub likely: f64,
    /// Probable maximum.
    pub high: f64,
}

impl Span {
    fn around(likely: f64, low: f64, high: f64) -> Self {
        Span { low: likely * low, likely, high: likely * high }
    }
}

/// What an estimate is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Sizes and statistics in the catalog.
    Catalog,
    /// The change of some rows, measured.
    Sample,
}

/// The resources that the change needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// What it is computed from.
    pub basis: Basis,
    /// Number of rows according to the statistics.
    pub rows: i64,
    /// Size of the table now, without indexes.
    pub table_bytes: i64,
    /// Size of the table now, with indexes.
    pub total_bytes: i64,
    /// Bytes of disk needed until `cleanup`.
    pub disk_bytes: Span,
    /// Bytes of WAL written, without those of the application.
    pub wal_bytes: Span,
    /// Seconds at the default pace, without concurrent writers.
    pub seconds: Span,
}

/// Measurements of copying some rows to the shadow, without pauses and in one session.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Blocks of the table that the sample read.
    pub blocks: i64,
    /// Blocks of the table.
    pub total_blocks: i64,
    /// Rows copied.
    pub rows: i64,
    /// Size of the shadow with these rows, including TOAST.
    pub table_bytes: i64,
    /// Size of its indexes.
    pub index_bytes: i64,
    /// WAL of the copy.
    pub wal_bytes: i64,
    /// Duration of the copy.
    pub copy_seconds: f64,
    /// Duration of the index builds.
    pub index_seconds: f64,
}

/// The estimate for a change of this class. The catalog does not say how many rows `--where` keeps.
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
        basis: if class == Class::Copy && sample.is_some() { Basis::Sample } else { Basis::Catalog },
        rows: table.rows_estimated as i64,
        table_bytes: table.table_bytes,
        total_bytes: all as i64,
        disk_bytes,
        wal_bytes,
        seconds,
    }
}

/// Disk, WAL and seconds. Blocks outside of the sample may contain fewer rows, or longer ones.
fn of_sample(sample: &Sample) -> (Span, Span, Span) {
    let times = sample.total_blocks as f64 / sample.blocks as f64;
    let (few, all) = (sample.rows as f64, sample.rows as f64 * times);
    // Sorting is O(n log n).
    let sorting = times * (all.max(2.0).ln() / few.max(2.0).ln());
    let bytes = |bytes: i64| bytes as f64 * times;
    let disk = bytes(sample.table_bytes) + bytes(sample.index_bytes);
    let wal = bytes(sample.wal_bytes) + bytes(sample.index_bytes);
    let copy = sample.copy_seconds * times;
    let seconds = copy * (DEFAULT_PACE + AFTERWARDS) + sample.index_seconds * sorting + AT_LEAST;
    (Span::around(disk, 0.8, 1.25), Span::around(wal, 0.8, 1.5), Span::around(seconds, 0.5, 2.0))
}
