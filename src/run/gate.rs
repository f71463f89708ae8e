//! The gate: the only place where work pauses. A step passes it after each part of its work.

use std::time::Duration;

/// How long the work pauses.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    nice_ratio: f64,
}

impl Gate {
    /// A gate that pauses `nice_ratio` times as long as the work before it took; 0: no pauses.
    #[must_use]
    pub fn new(nice_ratio: f64) -> Self {
        Gate { nice_ratio }
    }

    /// Whether there are pauses.
    #[must_use]
    pub fn is_nice(self) -> bool {
        self.nice_ratio > 0.0
    }

    /// Returns when the work may continue, after a part that took this long.
    pub async fn pass(self, worked: Duration) {
        tokio::time::sleep(worked.mul_f64(self.nice_ratio)).await;
    }
}
