//! pgrecast changes the shape of a live PostgreSQL table while applications keep reading and writing it.
//!
//! It builds a *shadow* table with the new shape, captures every write to the *original*, copies the rows by ranges of
//! blocks, replays the captured changes, verifies that both tables are equal, and exchanges them in one short
//! transaction. Then it captures changes to the new table for the *retired* one, so that a rollback loses nothing.
//!
//! The phases of a migration:
//!
//! ```text
//! planned -> shadowed -> capturing -> copied -> indexed -> level -> verified -> swapped -> finished
//!      \________________________ aborted ________________________/         \-> rolled_back
//! ```
//!
//! The modules in reading order: errors ([`error`]), names ([`name`]), sessions with the server ([`db`]), the requested
//! change ([`alter`]), the definition of the table ([`catalog`]), the decisions ([`plan`]), the state ([`state`]),
//! speed and pauses ([`pace`]), points where a test can kill the program ([`failpoint`]), the steps ([`step`]), and
//! their order ([`engine`]). The library never prints; the binary's `cli` does.

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
