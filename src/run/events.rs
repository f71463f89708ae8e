//! What a step tells while it works: typed facts, in one stream. Whoever wants to know listens: the terminal, the log.
//! The library builds no sentences; `cli/` decides what a person reads.

use std::sync::Arc;
use std::time::Duration;

/// What goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Rows are read before anything is done: do they fit?
    CheckData,
    /// A step of a change that needs no copy.
    Step,
    /// The shadow is made.
    Shadow,
    /// The capture triggers are put on.
    Capture,
    /// Rows are copied.
    Copy,
    /// Indexes are built on the shadow.
    Index,
    /// The shadow gets its visibility map and statistics.
    Vacuum,
    /// Changed rows are brought over until few are left.
    Level,
    /// Older transactions are waited for.
    Snapshots,
    /// All rows are compared.
    Verify,
    /// The tables are exchanged.
    Swap,
    /// Foreign keys are validated, the guard is dropped.
    Finish,
    /// Rows changed since the swap are brought over to the retired table.
    Reverse,
    /// The tables are exchanged again, the other way round.
    SwapBack,
}

impl Work {
    /// One word for it.
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

/// What a lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Putting the capture triggers on.
    Capture,
    /// Exchanging the tables, in either direction.
    Swap,
    /// Dropping the guard of a swap.
    Guard,
    /// Validating a foreign key.
    Validation,
    /// Dropping the capture triggers.
    Removal,
    /// A step of a change that needs no copy.
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

    /// Whether `status` shows how the request stands. What it shows after a swap is the swap's.
    #[must_use]
    pub fn is_shown(self) -> bool {
        matches!(self, Purpose::Capture | Purpose::Swap | Purpose::Step)
    }
}

/// What is counted.
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

/// What else is known of the progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// The object that is worked on.
    Object(String),
    /// The statements that run.
    Statements(Vec<String>),
    /// What the server says of an index build.
    ServerPhase(String),
    /// Sessions that bring changed rows over.
    Sessions(usize),
    /// The last round.
    Round {
        /// Keys that it brought over.
        keys: u64,
        /// How long it took.
        took: Duration,
    },
    /// Rows that were equal so far.
    Equal(i64),
}

/// How far something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Units done.
    pub done: i64,
    /// Units in all, as far as is known; 0: not known.
    pub total: i64,
    /// What a unit is.
    pub unit: Unit,
    /// What else is known.
    pub detail: Detail,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and there is no more to say.
    Done,
    /// A lock was granted.
    Locked {
        /// Requests, also those not made because of who was seen in the way.
        attempts: u32,
        /// How long others may have queued behind them.
        waited: Duration,
    },
    /// Rows were copied.
    Copied {
        /// Rows.
        rows: i64,
        /// How long this run took for it.
        took: Duration,
    },
    /// Indexes were built.
    Built(usize),
    /// Statistics and visibility map are there.
    Vacuumed,
    /// No snapshot is older.
    NoneOlder,
    /// All rows are equal.
    Equal {
        /// Rows.
        rows: i64,
        /// Keys left out, since a change of them was pending.
        pending: i64,
    },
    /// The tables were exchanged.
    Swapped {
        /// How long the locks were held.
        held: Duration,
        /// Requests for them.
        attempts: u32,
    },
    /// Foreign keys are valid.
    Validated {
        /// Whether the guard could be dropped, too.
        without_guard: bool,
    },
    /// The retired table is level.
    Level,
    /// Statements were run.
    Ran(Vec<String>),
    /// All rows were read.
    Read,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A lock was not granted, or not requested because of who holds it.
    LockNotGranted {
        /// What it is for.
        purpose: Purpose,
        /// Which request it was, from 1.
        attempt: u32,
        /// How many there will be.
        of: u32,
        /// Who holds it.
        blockers: Vec<String>,
    },
    /// A session was ended, as told.
    BlockerEnded(String),
    /// The swap was undone and will be tried again.
    SwapUndone(String),
    /// The table's file is another one: the copy starts again.
    FileChanged(String),
    /// A verification starts again.
    VerificationRestarts(String),
    /// A verification let somebody through who waits for the table.
    VerificationGaveWay(String),
    /// Transactions older than the new table are waited for.
    OlderTransactions(Vec<String>),
    /// The swap goes on in spite of these older transactions, as told.
    OlderIgnored(Vec<String>),
    /// The guard stays: these transactions are older than the swap.
    GuardStays(Vec<String>),
    /// An index or constraint is left alone, since this migration did not make it.
    NotOurs {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Sessions that a former run left behind were ended.
    OrphansEnded,
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Work begins.
    Began(Work),
    /// How far it is.
    Progressed(Progress),
    /// The work is done.
    Ended(Outcome),
    /// Something that a person should know.
    Noted(Note),
}

/// Takes events.
pub trait Listener: Send + Sync {
    /// Takes one. Must not block.
    fn take(&self, event: &Event);
}

/// The stream of a run's events.
#[derive(Clone)]
pub struct Events(Arc<[Box<dyn Listener>]>);

impl Events {
    /// Events go to these.
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

    /// How far it is.
    pub fn progressed(&self, done: i64, total: i64, unit: Unit, detail: Detail) {
        self.tell(&Event::Progressed(Progress { done, total, unit, detail }));
    }

    /// The work is done.
    pub fn ended(&self, outcome: Outcome) {
        self.tell(&Event::Ended(outcome));
    }

    /// Something that a person should know.
    pub fn noted(&self, note: Note) {
        self.tell(&Event::Noted(note));
    }
}
