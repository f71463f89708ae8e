//! Moments between two commits, by name, at which a test stops or kills this process: the very moments
//! that a kill at random hardly ever meets.
//!
//! Compiled in with the feature `failpoints` only. In any other build [`Failpoint::pass`] and [`many`] do nothing.

macro_rules! failpoints {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A moment, named by what has just become true.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Failpoint {
            $($(#[$doc])* $name,)*
        }

        impl Failpoint {
            /// All of them.
            pub const ALL: &[Failpoint] = &[$(Failpoint::$name,)*];

            /// As the environment variable has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Failpoint::$name => $text,)*
                }
            }
        }
    };
}

failpoints! {
    /// The migration is written down, nothing else was done.
    Planned = "planned",
    /// A step of a change that needs no copy is begun: it makes or drops an index.
    StepBegun = "step-begun",
    /// The index is made or dropped; the step is not marked done yet.
    StepIndexDone = "step-index-done",
    /// A step is done and marked so, and the migration has not ended.
    StepDone = "step-done",
    /// A step was taken back and marked so, and the migration is not aborted yet.
    StepUndone = "step-undone",
    /// The shadow is committed.
    Shadowed = "shadowed",
    /// The capture triggers are committed; what is to be copied is not noted yet.
    Capturing = "capturing",
    /// It is noted what is to be copied.
    CopyBegun = "copy-begun",
    /// A chunk is claimed, none of its rows copied.
    ChunkClaimed = "chunk-claimed",
    /// A chunk is committed.
    ChunkCopied = "chunk-copied",
    /// All chunks are; the phase does not say so yet.
    AllCopied = "all-copied",
    /// The phase says so.
    Copied = "copied",
    /// The log was taken into the set of keys, nothing brought over.
    Drained = "drained",
    /// Copies of logged rows are deleted from the shadow.
    LoggedDeleted = "logged-deleted",
    /// The key's index is built, not yet its constraint.
    KeyBuilt = "key-built",
    /// The key's index is made and marked so.
    KeyMade = "key-made",
    /// What waits was measured and is to be brought over in batches.
    Measured = "measured",
    /// A materialized view is built aside.
    MaterializedViewMade = "materialized-view-made",
    /// A batch of keys was brought over.
    BatchDone = "batch-done",
    /// A round is committed.
    RoundDone = "round-done",
    /// An index is built, not yet attached.
    IndexBuilt = "index-built",
    /// An index is made and marked so.
    IndexMade = "index-made",
    /// The shadow is vacuumed; the phase is still `copied`.
    Vacuumed = "vacuumed",
    /// The phase is `indexed`.
    Indexed = "indexed",
    /// The phase is `level`.
    Level = "level",
    /// The result of the comparison is written down; the phase is still `level`.
    VerificationWritten = "verification-written",
    /// The phase is `verified`.
    Verified = "verified",
    /// Everything of the swap is done but its commit.
    SwapReady = "swap-ready",
    /// The swap is committed.
    Swapped = "swapped",
    /// A foreign key was validated.
    ForeignKeyValidated = "foreign-key-validated",
    /// No old snapshot is left, the guard is still on.
    GuardIdle = "guard-idle",
    /// The guard is off; the definition is not recorded yet.
    GuardOff = "guard-off",
    /// Our triggers are off the application's table, by `abort` or `cleanup`.
    TriggersOff = "triggers-off",
    /// Everything of ours is dropped but not committed.
    ObjectsDropped = "objects-dropped",
    /// All is taken away and committed.
    TakenAway = "taken-away",
}

impl Failpoint {
    /// Stops or kills the process here if a test asked for it.
    #[inline]
    pub fn pass(self) {
        #[cfg(feature = "failpoints")]
        armed::pass(self);
    }
}

/// So many, or next to nothing if a test wants small tables to go the ways of large ones, by
/// `PGRECAST_LITTLE_IS_MUCH`.
#[must_use]
#[inline]
pub fn many(number: i64) -> i64 {
    #[cfg(feature = "failpoints")]
    if std::env::var_os("PGRECAST_LITTLE_IS_MUCH").is_some() {
        return number.min(3);
    }
    number
}

#[cfg(feature = "failpoints")]
mod armed {
    //! `PGRECAST_FAILPOINT=<name>[:<n>[:stop]]`: at the n-th pass of the moment of that name the process
    //! gets SIGKILL, or SIGSTOP so that a test can do something else to it just there.

    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::Failpoint;

    struct Armed {
        name: String,
        at_pass: u64,
        signal: Signal,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let text = std::env::var("PGRECAST_FAILPOINT").ok()?;
        let mut words = text.split(':');
        Some(Armed {
            name: words.next()?.to_owned(),
            at_pass: words
                .next()
                .map_or(1, |word| word.parse().expect("a number after the failpoint's name")),
            signal: if words.next() == Some("stop") { Signal::STOP } else { Signal::KILL },
        })
    });

    static PASSES: AtomicU64 = AtomicU64::new(0);

    pub(super) fn pass(point: Failpoint) {
        let Some(armed) = ARMED.as_ref().filter(|armed| armed.name == point.as_str()) else { return };
        if PASSES.fetch_add(1, Ordering::SeqCst) + 1 != armed.at_pass {
            return;
        }
        kill_process(getpid(), armed.signal).expect("a process may signal itself");
        // The signal may reach another thread first: this one goes no further until all have it.
        std::thread::sleep(Duration::from_millis(100));
    }
}
