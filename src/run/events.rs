//! The events of a run: typed facts, in one stream, for listeners such as the terminal and the log. The library builds
//! no sentences; `cli/` does.

use std::sync::Arc;
use std::time::Duration;

/// The kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Rows are checked before the change.
    CheckData,
    /// A step of a change without a copy.
    Step,
    /// The shadow is created.
    Shadow,
    /// The capture triggers are created.
    Capture,
    /// Rows are copied.
    Copy,
    /// Indexes are built on the shadow.
    Index,
    /// The shadow gets its visibility map and statistics.
    Vacuum,
    /// Changed rows are replayed until few are left.
    Level,
    /// Older transactions must end.
    Snapshots,
    /// All rows are compared.
    Verify,
    /// The tables are exchanged.
    Swap,
    /// Foreign keys are validated, the guard is dropped.
    Finish,
    /// Rows changed since the swap are replayed to the retired table.
    Reverse,
    /// The tables are exchanged back.
    SwapBack,
}

impl Work {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Work::CheckData => "check data",
            Work::Step => "step",
            Work::Shadow => "shadow",
            Work::Capture => "capture",
            Work::Copy => "copy",
            Work::Index => "index",
            Work::Vacuum => "vacuum",
            Work::Level => "level",
            Work::Snapshots => "snapshots",
            Work::Verify => "verify",
            Work::Swap => "swap",
            Work::Finish => "finish",
            Work::Reverse => "reverse",
            Work::SwapBack => "swap back",
        }
    }
}

/// The purpose of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Creating the capture triggers.
    Capture,
    /// Exchanging the tables, in either direction.
    Swap,
    /// Dropping the guard of a swap.
    Guard,
    /// Validating a foreign key.
    Validation,
    /// Dropping the capture triggers.
    Removal,
    /// A step of a change without a copy.
    Step,
}

impl Purpose {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Capture => "the capture triggers",
            Purpose::Swap => "the swap",
            Purpose::Guard => "dropping the guard",
            Purpose::Validation => "validating a foreign key",
            Purpose::Removal => "dropping the capture triggers",
            Purpose::Step => "the change",
        }
    }

    /// Whether `status` shows the request. After a swap, it shows the request of the swap.
    #[must_use]
    pub fn is_shown(self) -> bool {
        matches!(self, Purpose::Capture | Purpose::Swap | Purpose::Step)
    }
}

/// The unit of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Rows of the table.
    Rows,
    /// Keys of changed rows.
    Keys,
    /// Slices of the comparison.
    Slices,
    /// Blocks of a table.
    Blocks,
    /// Indexes.
    Indexes,
    /// Materialized views.
    MaterializedViews,
    /// Foreign keys.
    ForeignKeys,
    /// Constraints.
    Constraints,
    /// Steps of a change that needs no copy.
    Steps,
}

impl Unit {
    /// In the plural.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Rows => "rows",
            Unit::Keys => "keys",
            Unit::Slices => "slices",
            Unit::Blocks => "blocks",
            Unit::Indexes => "indexes",
            Unit::MaterializedViews => "materialized views",
            Unit::ForeignKeys => "foreign keys",
            Unit::Constraints => "constraints",
            Unit::Steps => "steps",
        }
    }
}

/// More about the progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// The current object.
    Object(String),
    /// The statements that run.
    Statements(Vec<String>),
    /// The server's phase of an index build.
    ServerPhase(String),
    /// The number of sessions that replay changed rows.
    Sessions(usize),
    /// The last round.
    Round {
        /// Keys that it replayed.
        keys: u64,
        /// How long it took.
        took: Duration,
    },
    /// Rows that were equal so far.
    Equal(i64),
}

/// The progress of a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Units done.
    pub done: i64,
    /// Total units; 0 if not known.
    pub total: i64,
    /// The unit.
    pub unit: Unit,
    /// More about it.
    pub detail: Detail,
}

/// The result of a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// A lock was granted.
    Locked {
        /// Number of tries, including those without a request because of a long transaction.
        attempts: u32,
        /// How long other sessions may have waited behind the requests.
        waited: Duration,
    },
    /// Rows were copied.
    Copied {
        /// Rows.
        rows: i64,
        /// How long this run took.
        took: Duration,
    },
    /// Indexes were built.
    Built(usize),
    /// Statistics and visibility map are up to date.
    Vacuumed,
    /// No snapshot is older.
    NoneOlder,
    /// All rows are equal.
    Equal {
        /// Rows.
        rows: i64,
        /// Keys that were exempt because a change of them was pending.
        pending: i64,
    },
    /// The tables were exchanged.
    Swapped {
        /// How long the locks were held.
        held: Duration,
        /// Number of tries.
        attempts: u32,
    },
    /// Foreign keys are valid.
    Validated {
        /// Whether the guard was dropped, too.
        without_guard: bool,
    },
    /// The retired table is up to date.
    Level,
    /// Statements were run.
    Ran(Vec<String>),
    /// All rows are read.
    Read,
}

/// A note about something unusual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A lock was not granted, or not requested because a long transaction holds a conflicting one.
    LockNotGranted {
        /// Its purpose.
        purpose: Purpose,
        /// The number of the try, from 1.
        attempt: u32,
        /// The maximum number of tries.
        of: u32,
        /// The sessions that hold it.
        blockers: Vec<String>,
    },
    /// A session was terminated, as requested.
    BlockerEnded(String),
    /// The swap was rolled back and will be retried.
    SwapUndone(String),
    /// The table has a new file: the copy starts again.
    FileChanged(String),
    /// A verification starts again.
    VerificationRestarts(String),
    /// A verification paused for a session that waits for a lock on the table.
    VerificationGaveWay(String),
    /// The run waits for transactions older than the new table.
    OlderTransactions(Vec<String>),
    /// The swap continues in spite of these older transactions, as `--old-snapshots guard` says.
    OlderIgnored(Vec<String>),
    /// The guard stays, because these transactions are older than the swap.
    GuardStays(Vec<String>),
    /// An index or constraint is not dropped, because this migration did not create it.
    NotOurs {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Sessions that an earlier run left behind were terminated.
    OrphansEnded,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Work begins.
    Began(Work),
    /// Progress of the work.
    Progressed(Progress),
    /// The work is done.
    Ended(Outcome),
    /// A note about something unusual.
    Noted(Note),
}

/// Receives events.
pub trait Listener: Send + Sync {
    /// Receives one event. Must not block.
    fn take(&self, event: &Event);
}

/// The stream of a run's events.
#[derive(Clone)]
pub struct Events(Arc<[Box<dyn Listener>]>);

impl Events {
    /// The listeners.
    #[must_use]
    pub fn new(listeners: Vec<Box<dyn Listener>>) -> Self {
        Events(listeners.into())
    }

    fn tell(&self, event: &Event) {
        for listener in self.0.iter() {
            listener.take(event);
        }
    }

    /// Work begins.
    pub fn began(&self, work: Work) {
        self.tell(&Event::Began(work));
    }

    /// Progress of the work.
    pub fn progressed(&self, done: i64, total: i64, unit: Unit, detail: Detail) {
        self.tell(&Event::Progressed(Progress { done, total, unit, detail }));
    }

    /// The work is done.
    pub fn ended(&self, outcome: Outcome) {
        self.tell(&Event::Ended(outcome));
    }

    /// A note about something unusual.
    pub fn noted(&self, note: Note) {
        self.tell(&Event::Noted(note));
    }
}
