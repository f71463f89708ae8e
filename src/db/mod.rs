//! Sessions with the server: where to connect, how to prove who is who, and what went wrong if not.
//!
//! Works as libpq and psql do, so that what works with `psql` works here with the same arguments,
//! environment and files: <https://www.postgresql.org/docs/current/libpq-connect.html>. Where we do
//! less than libpq and leaving it out would make the connection weaker, the setting is refused.
//!
//! In reading order: `secret` says what is not shown; `settings` holds what was asked for, filled from `conninfo`, `uri`,
//! `service` files and the environment; `target` makes of it where to connect: each
//! `endpoint` with a password from the `passfile`, and `tls`, which trusts a `certificate` or
//! not; `connect` goes there, with `failure` saying why it did not work; `connection` is the
//! session that comes out, and `session` sets one up for the work of a migration.

mod certificate;
mod connect;
mod connection;
mod conninfo;
mod endpoint;
mod failure;
mod passfile;
mod pooler;
pub mod search_path;
mod secret;
mod service;
mod session;
mod settings;
mod target;
mod tls;
mod uri;

pub use connection::{Canceller, Connection, ServerVersion, all_closed};
pub use secret::may_hold_password;
pub use session::{Session, Sessions};
pub use target::{ConnectionArgs, Target};
