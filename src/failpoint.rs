//! Named moments between two commits at which a test stops or kills this process. A kill at random rarely hits these
//! moments.
//!
//! Only compiled with the feature `failpoints`. In any other build [`Failpoint::pass`] and [`many`] do nothing.

macro_rules! failpoints {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A moment, named after what has just happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Failpoint {
            $($(#[$doc])* $name,)*
        }

        impl Failpoint {
            /// All of them.
            pub const ALL: &[Failpoint] = &[$(Failpoint::$name,)*];

            /// Its name in the environment variable.
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
    /// The migration is recorded, nothing else was done.
    Planned = "planned",
    /// A step of a change without a copy has begun: it creates or drops an index.
    StepBegun = "step-begun",
    /// The index is created or dropped; the step is not recorded as done yet.
    StepIndexDone = "step-index-done",
    /// A step is done and recorded, and the migration has not ended.
    StepDone = "step-done",
    /// A step is undone and recorded, and the migration is not aborted yet.
    StepUndone = "step-undone",
    /// The shadow is committed.
    Shadowed = "shadowed",
    /// The capture triggers are committed; the blocks to copy are not recorded yet.
    Capturing = "capturing",
    /// The blocks to copy are recorded.
    CopyBegun = "copy-begun",
    /// A chunk is claimed, none of its rows copied.
    ChunkClaimed = "chunk-claimed",
    /// A chunk is committed.
    ChunkCopied = "chunk-copied",
    /// All chunks are committed; the phase is not changed yet.
    AllCopied = "all-copied",
    /// The phase is `copied`.
    Copied = "copied",
    /// The logged keys are moved to the key set, none is replayed.
    Drained = "drained",
    /// Copies of logged rows are deleted from the shadow.
    LoggedDeleted = "logged-deleted",
    /// The key's index is built, not yet its constraint.
    KeyBuilt = "key-built",
    /// The key's index is built and recorded.
    KeyMade = "key-made",
    /// The backlog was measured and will be replayed in batches.
    Measured = "measured",
    /// A new materialized view is built.
    MaterializedViewMade = "materialized-view-made",
    /// A batch of keys was replayed.
    BatchDone = "batch-done",
    /// A round is committed.
    RoundDone = "round-done",
    /// An index is built, not yet attached.
    IndexBuilt = "index-built",
    /// An index is built and recorded.
    IndexMade = "index-made",
    /// The shadow is vacuumed; the phase is still `copied`.
    Vacuumed = "vacuumed",
    /// The phase is `indexed`.
    Indexed = "indexed",
    /// The phase is `level`.
    Level = "level",
    /// The result of the comparison is recorded; the phase is still `level`.
    VerificationWritten = "verification-written",
    /// The phase is `verified`.
    Verified = "verified",
    /// Everything of the swap is done except the commit.
    SwapReady = "swap-ready",
    /// The swap is committed.
    Swapped = "swapped",
    /// A foreign key was validated.
    ForeignKeyValidated = "foreign-key-validated",
    /// No old snapshot is left, the guard still exists.
    GuardIdle = "guard-idle",
    /// The guard is dropped; the definition is not recorded yet.
    GuardOff = "guard-off",
    /// `abort` or `cleanup` has dropped our triggers from the application's table.
    TriggersOff = "triggers-off",
    /// Everything of ours is dropped but not committed.
    ObjectsDropped = "objects-dropped",
    /// Everything is dropped and committed.
    TakenAway = "taken-away",
}

impl Failpoint {
    /// Stops or kills the process here if a test requests it.
    #[inline]
    pub fn pass(self) {
        #[cfg(feature = "failpoints")]
        armed::pass(self);
    }
}

/// This number, or nearly zero with `PGRECAST_LITTLE_IS_MUCH`, so that a test with small tables takes the code paths of
/// large ones.
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
    //! `PGRECAST_FAILPOINT=<name>[:<n>[:stop]]`: at the n-th pass of this moment the process gets SIGKILL, or SIGSTOP,
    //! so that a test can do something else to it there.

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
        // The signal may reach another thread first: this thread waits until all have it.
        std::thread::sleep(Duration::from_millis(100));
    }
}
