//! What an action costs as it stands, and the way in which it is done.

use serde::Serialize;

/// What an action does to the rows when it is run as it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// All rows are read: of this table or of one at the other end of a foreign key.
    pub reads_rows: bool,
    /// The table gets a new file.
    pub rewrites: bool,
}

impl Cost {
    /// Whether it only changes the catalog.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Cost::default()
    }
}

/// How a change is done, the cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// In the catalog alone, under a short lock.
    Instant,
    /// In steps of which those that read rows block nobody.
    Staged,
    /// By a shadow table.
    Copy,
}

impl Class {
    /// As `plan` shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Instant => "instant",
            Class::Staged => "staged",
            Class::Copy => "copy",
        }
    }
}
