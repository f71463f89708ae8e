//! The base of the integration tests: a temporary server, a database per test, the program itself, and checks of its
//! results.
//!
//! In reading order: [`cluster`] starts the server, [`database`] makes a database in it, [`cli`] runs
//! `pgrecast` there, [`wait`] waits for conditions, [`dump`] and [`nothing_left`] show the contents of a database,
//! [`cases`] selects cases, [`workload`] writes to a table and to its [`twin`], which must stay equal: each connection
//! is a [`worker`], and [`writes`] defines its statements. [`ending`] ends pgrecast in every way, partly through a
//! [`proxy`]; [`by_hand`] lets a test run a migration step by step. [`in_place`] is a table for changes without a copy.
//! [`docs`] compares printed parts of the documentation.

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
