//! The cost of an action when PostgreSQL runs it directly, and how pgrecast performs it.

use serde::Serialize;

/// What an action does to the rows when PostgreSQL runs it directly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// It reads all rows of this table, or of a table at the other end of a foreign key.
    pub reads_rows: bool,
    /// It rewrites the table into a new file.
    pub rewrites: bool,
}

impl Cost {
    /// Whether it only changes the catalog.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Cost::default()
    }
}

/// How a change is performed, the cheapest way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Only in the catalog, under a short lock.
    Instant,
    /// In steps. Those that read rows block neither readers nor writers.
    Staged,
    /// With a shadow table.
    Copy,
}

impl Class {
    /// The name that `plan` shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Instant => "instant",
            Class::Staged => "staged",
            Class::Copy => "copy",
        }
    }
}
