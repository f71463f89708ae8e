//! The phases of a migration and the one function that decides every change between them.

use std::fmt;

use crate::error::{Error, Result};

/// What is true of a migration now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It is written down; nothing else was done.
    Planned,
    /// The shadow stands, empty, in the new shape.
    Shadowed,
    /// Every write to the original is captured.
    Capturing,
    /// Every block of the original was copied.
    Copied,
    /// The shadow has all its indexes and its statistics.
    Indexed,
    /// The shadow is one tiny round behind the original.
    Level,
    /// All rows were compared and were equal.
    Verified,
    /// The new table is in place; its writes are captured for the way back.
    Swapped,
    /// On the way back: the retired table is one tiny round behind the new one.
    RetiredLevel,
    /// On the way back: all rows were compared and were equal.
    RetiredVerified,
    /// The change was kept; nothing of ours is left.
    Finished,
    /// Given up before the swap; nothing of ours is left.
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

    /// As the state and `--json` write it.
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

    /// Reads what [`Phase::as_str`] wrote.
    pub fn parse(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or_else(|| Error::failed(format!("the state has a phase that is not known here: {text:?}")))
    }

    /// Whether there is something left to do or to take away: the one place that says what is open.
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

    /// Whether the new table is in place and the retired one is kept for the way back.
    #[must_use]
    pub fn is_swapped(self) -> bool {
        matches!(self, Phase::Swapped | Phase::RetiredLevel | Phase::RetiredVerified)
    }

    /// Decides a change of phase.
    ///
    /// One step at a time, or from the plan to the end where no copy is needed. To an earlier phase only where a promise
    /// no longer holds (a verification counts for the run that made it), or where a rollback is given up.
    ///
    /// # Errors
    /// An illegal move, naming both sides.
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
