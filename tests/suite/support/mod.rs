//! What the integration tests stand on: a throwaway server, a database per test, the program itself,
//! and ways to look at what it did.
//!
//! In reading order: [`cluster`] starts the server, [`database`] makes a database in it, [`cli`] runs
//! `pgrecast` there, [`wait`] waits for conditions, [`dump`] and [`nothing_left`] say what a database
//! looks like, [`cases`] says which of many are tried, [`workload`] writes to a table and to its [`twin`], which must stay equal: each connection is
//! a [`worker`], and [`writes`] says what it writes. [`ending`] ends pgrecast in every way there is, some of
//! them through a [`proxy`]; [`by_hand`] hands a migration to the test itself. [`in_place`] is a table for changes that need
//! no copy. [`docs`] compares printed parts of the documentation.

// Each test binary uses a part of it.
#![allow(dead_code, unused_imports, unreachable_pub)]
#![allow(clippy::doc_markdown)]

pub mod by_hand;
pub mod cases;
pub mod cli;
pub mod cluster;
pub mod database;
pub mod docs;
pub mod dump;
pub mod ending;
pub mod in_place;
pub mod keys;
pub mod model;
pub mod nothing_left;
pub mod proxy;
pub mod twin;
pub mod wait;
pub mod worker;
pub mod workload;
pub mod writes;

pub use by_hand::ByHand;
pub use cases::some;
pub use cli::{Output, Running};
pub use cluster::Cluster;
pub use database::{Role, TestDb};
pub use docs::expect_printed;
pub use dump::{diff, schema_dump};
pub use nothing_left::{assert_no_object_left, assert_nothing_left};
pub use twin::{Table, assert_equal};
pub use wait::{wait_until, wait_until_within};
pub use workload::{Report, Workload};
