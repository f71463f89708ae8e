//! Replay: makes the `to` row of every logged key equal to the mapped `from` row, or absent.
//!
//! In reading order: [`round`] is one exact step; [`catch_up`] replays many changes before it, in batches and with
//! several sessions; [`level`] repeats both until little is left; `misfit` finds the row that the other shape cannot
//! hold.

pub mod catch_up;
pub mod level;
mod misfit;
pub mod round;

pub use level::bring_level;
pub use round::{Round, Which, drain, round, round_in_transaction};
