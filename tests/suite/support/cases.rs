//! Selects some of many similar cases, so that the tests finish in time on a slow machine. `scripts/test.sh --all` runs
//! all of them.

/// Whether all cases run.
pub fn all_are_wanted() -> bool {
    std::env::var_os("PGRECAST_TEST_ALL").is_some()
}

/// Every `nth` case after the `first` ones, or all of them.
pub fn some<T>(cases: impl IntoIterator<Item = T>, first: usize, nth: usize) -> impl Iterator<Item = T> {
    let (first, nth) = if all_are_wanted() { (0, 1) } else { (first, nth) };
    cases.into_iter().skip(first).step_by(nth)
}
