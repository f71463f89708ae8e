//! What a migration will need, from the catalog and stated assumptions.

use serde::Serialize;

use super::in_place::Class;
use crate::catalog::Definition;

/// Bytes of table that a copy with its index builds, vacuum and verification brings over in a second;
/// measured on two cores with default settings, and meant as the order of magnitude.
const BYTES_PER_SECOND: f64 = 40e6;

/// Written to the log per copied byte: the row, its index entries, hint bits of the vacuum.
const WAL_PER_BYTE: f64 = 1.3;

/// Bytes of table that are read in a second to prove a constraint or to build an index, by one session.
const BYTES_READ_PER_SECOND: f64 = 200e6;

/// What it will need.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Rows, as the statistics have it.
    pub rows: i64,
    /// Size of the table now, without indexes.
    pub table_bytes: i64,
    /// The same with its indexes.
    pub total_bytes: i64,
    /// Disk needed until `cleanup`.
    pub disk_bytes: i64,
    /// WAL written.
    pub wal_bytes: i64,
    /// Seconds at the default pace, without writers to keep up with.
    pub seconds: f64,
}

/// The estimate for a change of this class.
#[must_use]
pub fn estimate(original: &Definition, class: Class) -> Estimate {
    let table = &original.table;
    let all = (table.table_bytes + table.index_bytes) as f64;
    let (copied, seconds) = match class {
        Class::Instant => (0.0, 0.1),
        Class::Staged => (0.0, (table.table_bytes as f64 / BYTES_READ_PER_SECOND).max(0.2)),
        Class::Copy => (all, (all / BYTES_PER_SECOND).max(0.5)),
    };
    Estimate {
        rows: table.rows_estimated as i64,
        table_bytes: table.table_bytes,
        total_bytes: all as i64,
        disk_bytes: copied as i64,
        wal_bytes: (copied * WAL_PER_BYTE) as i64,
        seconds,
    }
}
