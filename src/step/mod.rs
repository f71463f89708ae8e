//! What is done to the database, one file per thing, each safe to run twice.

pub mod added;
pub mod capture;
pub mod catch_up;
pub mod copy;
pub mod finish;
pub mod holders;
pub mod index;
pub mod inspect;
pub mod judge;
pub mod level;
pub mod lock;
pub mod matviews;
pub mod misfit;
pub mod pair;
pub mod parents;
pub mod referrers;
pub mod remove;
pub mod replay;
pub mod search_path;
pub mod segment;
pub mod shadow;
pub mod snapshots;
pub mod swap;
pub mod vacuum;
pub mod verify;
pub mod watch;
