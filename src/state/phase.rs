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
    /// The change was kept; nothing of ours is left.
    Finished,
    /// Given up before the swap; nothing of ours is left.
    Aborted,
    /// The original is in place again.
    RolledBack,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 11] = [
        Phase::Planned,
        Phase::Shadowed,
        Phase::Capturing,
        Phase::Copied,
        Phase::Indexed,
        Phase::Level,
        Phase::Verified,
        Phase::Swapped,
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

    /// Whether there is something left to do or to take away.
    #[must_use]
    pub fn is_open(self) -> bool {
        !matches!(self, Phase::Finished | Phase::Aborted | Phase::RolledBack)
    }

    /// Whether the application still uses the original.
    #[must_use]
    pub fn is_before_swap(self) -> bool {
        self.is_open() && self != Phase::Swapped
    }

    /// Decides a change of phase.
    ///
    /// Forward one step at a time, or from the plan to the end where no copy is needed; back only from later phases of the copy to those whose promise has
    /// to be made good again (the table's file changed, the verification no longer counts).
    ///
    /// # Errors
    /// An illegal move, naming both sides.
    pub fn advance(self, to: Phase) -> Result<Phase> {
        use Phase::{
            Aborted, Capturing, Copied, Finished, Indexed, Level, Planned, RolledBack, Shadowed, Swapped,
            Verified,
        };
        let is_legal = match (self, to) {
            (Planned, Shadowed | Finished)
            | (Shadowed, Capturing)
            | (Capturing, Copied)
            | (Copied, Indexed)
            | (Indexed | Verified, Level)
            | (Level, Verified)
            | (Verified, Swapped)
            | (Swapped, Finished | RolledBack) => true,
            (from, Aborted) => from.is_before_swap(),
            _ => false,
        };
        if is_legal {
            Ok(to)
        } else {
            Err(Error::failed(format!("a migration that is {self} can not become {to}")))
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
    fn the_way_leads_from_planned_to_finished_and_nothing_is_skipped() {
        let way = &Phase::ALL[..9];
        for (n, from) in way.iter().enumerate() {
            for (m, to) in way.iter().enumerate().skip(n) {
                let needs_no_copy = (*from, *to) == (Phase::Planned, Phase::Finished);
                assert_eq!(from.advance(*to).is_ok(), m == n + 1 || needs_no_copy, "{from} -> {to}");
            }
        }
    }

    #[test]
    fn nothing_leaves_an_ended_phase_and_only_the_swapped_can_be_rolled_back() {
        for from in Phase::ALL {
            assert_eq!(from.advance(Phase::RolledBack).is_ok(), from == Phase::Swapped);
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
