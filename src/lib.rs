//! pgrecast changes the shape of a live PostgreSQL table while applications keep reading and writing it.
//!
//! It builds a *shadow* table with the new shape, captures every write to the *original*, copies the
//! rows by ranges of blocks, brings the shadow level, proves both equal, exchanges them in one short
//! transaction, and keeps the *retired* table level with the new one, so that going back loses nothing.
//!
//! The life of a migration, in phases that say what is true:
//!
//! ```text
//! planned -> shadowed -> capturing -> copied -> indexed -> level -> verified -> swapped -> finished
//!      \________________________ aborted ________________________/         \-> rolled_back
//! ```
//!
//! The modules in reading order: what can go wrong ([`error`]), how things are named ([`name`]),
//! sessions with the server ([`db`]), what the user asks for ([`alter`]), what the server says of the
//! table ([`catalog`]), what is decided from both ([`plan`]), what is written down ([`state`]), how fast
//! and how patiently ([`pace`]), where a test can kill it ([`failpoint`]), what is done, one thing at a
//! time ([`step`]), and in which order ([`engine`]). The library never prints; the binary's `cli` does.

pub mod alter;
pub mod capture;
pub mod catalog;
pub mod change;
pub mod cleanup;
pub mod copy;
pub mod db;
pub mod engine;
pub mod error;
pub mod failpoint;
pub mod in_place;
pub mod index;
pub mod lock;
pub mod name;
pub mod pace;
pub mod pair;
pub mod plan;
pub mod preview;
pub mod replay;
pub mod run;
pub mod shadow;
pub mod state;
pub mod swap;
pub mod verify;
