//! How long to pause before requesting a lock again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The pause after the n-th failed try (from 1): doubles up to 5 s, and is then randomized between half and all of it,
/// so that the tries do not synchronize with a writer. `random` is any number.
#[must_use]
pub fn backoff(attempt: u32, random: u64) -> Duration {
    let doubled = FIRST.saturating_mul(1u32 << attempt.saturating_sub(1).min(10)).min(LONGEST);
    let half = doubled / 2;
    half + half.mul_f64((random % 1000) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_never_asks_again_at_once_nor_stays_away_for_good(attempt in 1u32.., random: u64) {
            let pause = backoff(attempt, random);
            prop_assert!(pause >= FIRST / 2 && pause <= LONGEST);
        }
    }
}
