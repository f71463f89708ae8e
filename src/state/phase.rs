//! The phases of a migration and the one function that decides every change between them.

use std::fmt;

use crate::error::{Error, Result};

/// The phase of a migration: what is true now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The migration is recorded; nothing else was done.
    Planned,
    /// The shadow exists, empty, in the new shape.
    Shadowed,
    /// Every write to the original is captured.
    Capturing,
    /// Every block of the original is copied.
    Copied,
    /// The shadow has all its indexes and its statistics.
    Indexed,
    /// The shadow is one tiny round behind the original.
    Level,
    /// All rows are compared and equal.
    Verified,
    /// The new table is in place; its writes are captured for a rollback.
    Swapped,
    /// In a rollback: the retired table is one tiny round behind the new one.
    RetiredLevel,
    /// In a rollback: all rows are compared and equal.
    RetiredVerified,
    /// The change was kept; nothing of ours is left.
    Finished,
    /// The migration was undone before the swap; nothing of ours is left.
    Aborted,
    /// The original is in place again.
    RolledBack,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 13] = [
        Phase::Planned,
        Phase::Shadowed,
        Phase::Capturing,
        Phase::Copied,
        Phase::Indexed,
        Phase::Level,
        Phase::Verified,
        Phase::Swapped,
        Phase::RetiredLevel,
        Phase::RetiredVerified,
        Phase::Finished,
        Phase::Aborted,
        Phase::RolledBack,
    ];

    /// Its name in the state and in `--json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Planned => "planned",
            Phase::Shadowed => "shadowed",
            Phase::Capturing => "capturing",
            Phase::Copied => "copied",
            Phase::Indexed => "indexed",
            Phase::Level => "level",
            Phase::Verified => "verified",
            Phase::Swapped => "swapped",
            Phase::RetiredLevel => "retired_level",
            Phase::RetiredVerified => "retired_verified",
            Phase::Finished => "finished",
            Phase::Aborted => "aborted",
            Phase::RolledBack => "rolled_back",
        }
    }

    /// The inverse of [`Phase::as_str`].
    pub fn parse(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or_else(|| Error::failed(format!("the state has an unknown phase: {text:?}")))
    }

    /// Whether the migration is open: something remains to be done or dropped. This is the only definition of open.
    #[must_use]
    pub fn is_open(self) -> bool {
        !matches!(self, Phase::Finished | Phase::Aborted | Phase::RolledBack)
    }

    /// The phases of migrations that are not open.
    pub fn ended() -> impl Iterator<Item = Phase> {
        Self::ALL.into_iter().filter(|phase| !phase.is_open())
    }

    /// Whether the application still uses the original.
    #[must_use]
    pub fn is_before_swap(self) -> bool {
        self.is_open() && !self.is_swapped()
    }

    /// Whether the new table is in place and the retired one is kept for a rollback.
    #[must_use]
    pub fn is_swapped(self) -> bool {
        matches!(self, Phase::Swapped | Phase::RetiredLevel | Phase::RetiredVerified)
    }

    /// Decides a change of phase.
    ///
    /// One step at a time, or from the plan to the end if no copy is needed. Back to an earlier phase only if something
    /// is no longer guaranteed (a verification counts only for the run that performed it), or if a rollback is given
    /// up.
    ///
    /// # Errors
    /// An illegal change, with both phases.
    pub fn advance(self, to: Phase) -> Result<Phase> {
        use Phase::{
            Aborted, Capturing, Copied, Finished, Indexed, Level, Planned, RetiredLevel, RetiredVerified,
            RolledBack, Shadowed, Swapped, Verified,
        };
        let is_legal = match (self, to) {
            (Planned, Shadowed | Finished)
            | (Shadowed, Capturing)
            | (Capturing, Copied)
            | (Copied, Indexed)
            | (Indexed | Verified, Level)
            | (Level, Verified)
            | (Verified, Swapped)
            | (Swapped, RetiredLevel | Finished)
            | (RetiredLevel, RetiredVerified | Swapped | Finished)
            | (RetiredVerified, RolledBack | RetiredLevel | Swapped | Finished) => true,
            (from, Aborted) => from.is_before_swap(),
            _ => false,
        };
        if is_legal {
            Ok(to)
        } else {
            Err(Error::failed(format!("a migration that is {self} cannot become {to}")))
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_there_and_the_way_back_skip_nothing() {
        let way: Vec<Phase> = Phase::ALL[..10].iter().copied().chain([Phase::RolledBack]).collect();
        for (n, from) in way.iter().enumerate() {
            for (m, to) in way.iter().enumerate().skip(n) {
                assert_eq!(from.advance(*to).is_ok(), m == n + 1, "{from} -> {to}");
            }
        }
    }

    #[test]
    fn the_change_can_be_kept_once_it_is_in_place_and_at_once_where_nothing_is_copied() {
        for from in Phase::ALL {
            let can_finish = from.is_swapped() || from == Phase::Planned;
            assert_eq!(from.advance(Phase::Finished).is_ok(), can_finish, "{from}");
        }
    }

    #[test]
    fn nothing_leaves_an_ended_phase_and_only_the_verified_is_rolled_back() {
        for from in Phase::ALL {
            assert_eq!(from.advance(Phase::RolledBack).is_ok(), from == Phase::RetiredVerified);
            assert_eq!(from.advance(Phase::Aborted).is_ok(), from.is_before_swap());
            if !from.is_open() {
                assert!(Phase::ALL.iter().all(|to| from.advance(*to).is_err()));
            }
        }
    }

    #[test]
    fn every_phase_reads_back_as_itself() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.as_str()).unwrap(), phase);
        }
        assert!(Phase::parse("swaped").is_err());
    }
}
