//! How many sessions replay changed rows, and when replay cannot keep up.

use std::time::Duration;

/// More sessions would take too much of the machine from the application.
const MOST: usize = 8;

/// How long the minimum backlog may stay the minimum, with all sessions active.
const PATIENCE: Duration = Duration::from_secs(20);

/// The progress of the replay, measured at intervals.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headway {
    sessions: usize,
    many: i64,
    last: Option<i64>,
    fewest: Option<(i64, Duration)>,
}

impl Headway {
    /// Begins with this number of sessions, and with at least two if the backlog is `many`.
    #[must_use]
    pub fn with(sessions: usize, many: i64) -> Self {
        Headway { sessions, many, ..Headway::default() }
    }

    /// Takes the backlog at time `at` since the beginning, and the number of entries replayed since the last
    /// measurement. Returns the number of sessions to use: twice as many if three new entries arrived for each four
    /// replayed. `None`: writers are faster.
    pub fn learn(&mut self, waiting: i64, brought: i64, at: Duration) -> Option<usize> {
        let before = self.sessions;
        self.sessions = match self.last {
            None => before.max(if waiting < self.many { 1 } else { 2 }),
            Some(last) if (waiting - last + brought) * 4 > brought * 3 => (before * 2).min(MOST),
            Some(_) => before,
        };
        self.last = Some(waiting);
        match self.fewest {
            Some((fewest, since)) if waiting >= fewest && self.sessions == before => {
                (self.sessions < MOST || at.saturating_sub(since) < PATIENCE).then_some(self.sessions)
            }
            fewest => {
                self.fewest = Some((fewest.map_or(waiting, |(fewest, _)| fewest.min(waiting)), at));
                Some(self.sessions)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The result of the replay if this backlog is measured each time, and this many entries are replayed between two
    /// measurements.
    fn learn_all(waiting: &[i64], brought: i64, every: Duration) -> Option<usize> {
        let mut headway = Headway::with(1, 20_000);
        let mut sessions = None;
        for (n, waiting) in (0u32..).zip(waiting) {
            sessions = headway.learn(*waiting, brought, every * n);
        }
        sessions
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn sessions_are_added_only_while_little_is_gained() {
        assert_eq!(learn_all(&[3_000, 100], 2_950, SECOND), Some(1));
        assert_eq!(learn_all(&[9_000_000, 8_960_000, 8_920_000], 50_000, SECOND), Some(2));
        assert_eq!(learn_all(&[1_000_000, 990_000, 900_000], 100_000, SECOND), Some(4));
        assert_eq!(learn_all(&[3_000; 6], 5_000, SECOND), Some(8));
        assert_eq!(Headway::with(4, 20_000).learn(1, 0, Duration::ZERO), Some(4));
    }

    #[test]
    fn it_gives_up_when_nothing_is_gained_for_long_by_all() {
        assert_eq!(learn_all(&[50_000; 24], 5_000, SECOND), None);
        assert_eq!(learn_all(&[50_000; 24], 5_000, SECOND / 10), Some(8));
        assert_eq!(learn_all(&[50_000, 60_000, 70_000, 80_000], 5_000, SECOND * 30), None);
        assert_eq!(learn_all(&[50_000, 60_000, 70_000], 5_000, SECOND * 30), Some(8));
    }

    proptest! {
        #[test]
        fn what_shrinks_is_never_given_up(
            waiting in prop::collection::vec(0i64..1_000_000, 1..40), brought in 0i64..1_000_000, seconds in 0u32..100
        ) {
            let mut waiting = waiting;
            waiting.sort_unstable_by(|a, b| b.cmp(a));
            waiting.dedup();
            let sessions = learn_all(&waiting, brought, SECOND * seconds);
            prop_assert!(sessions.is_some_and(|sessions| (1..=MOST).contains(&sessions)));
        }
    }
}
