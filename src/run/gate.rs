//! The gate: the one place where work rests. A step passes it after each part of its work.

use std::time::Duration;

/// How much of the time is left to the application.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    nice_ratio: f64,
}

impl Gate {
    /// A gate that pauses `nice_ratio` times as long as the work before took; 0: not at all.
    #[must_use]
    pub fn new(nice_ratio: f64) -> Self {
        Gate { nice_ratio }
    }

    /// Whether the application comes first.
    #[must_use]
    pub fn is_nice(self) -> bool {
        self.nice_ratio > 0.0
    }

    /// Comes back when work may go on, after a part of it that took so long.
    pub async fn pass(self, worked: Duration) {
        tokio::time::sleep(worked.mul_f64(self.nice_ratio)).await;
    }
}
