//! Of many cases of one kind those that this run of the tests goes through: a run on a slow machine must come to
//! its end, and `scripts/test.sh --all` goes through them all.

/// Whether every case is wanted.
pub fn all_are_wanted() -> bool {
    std::env::var_os("PGRECAST_TEST_ALL").is_some()
}

/// Every `nth` case after the `first` ones, or all of them.
pub fn some<T>(cases: impl IntoIterator<Item = T>, first: usize, nth: usize) -> impl Iterator<Item = T> {
    let (first, nth) = if all_are_wanted() { (0, 1) } else { (first, nth) };
    cases.into_iter().skip(first).step_by(nth)
}
