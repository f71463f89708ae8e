//! Waiting for conditions. No other file of the tests sleeps.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a condition is detected within [`POLL`].
pub const DEADLINE: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(10);

/// Waits until the condition is true; panics with its name if that does not happen before [`DEADLINE`].
pub async fn wait_until(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until_within(DEADLINE, what, condition).await;
}

/// Waits until the condition is true; panics with its name if that does not happen in time.
pub async fn wait_until_within(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < limit, "waited {limit:?} without success until {what}");
        between_two_looks().await;
    }
}

/// Sleeps, for a test that does something at a random moment.
pub async fn any_moment(within: Duration) {
    tokio::time::sleep(within).await;
}

/// The pause between two checks of a condition, for loops that cannot use the functions above.
pub async fn between_two_looks() {
    tokio::time::sleep(POLL).await;
}
