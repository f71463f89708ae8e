//! Sessions with the server: where to connect, authentication, and errors.
//!
//! It works as libpq and psql do, with the same arguments, environment and files:
//! <https://www.postgresql.org/docs/current/libpq-connect.html>. A setting that is not supported is refused if ignoring
//! it would make the connection less secure.
//!
//! In reading order: `secret` decides what is not shown; `settings` holds the requested settings, filled from
//! `conninfo`, `uri`, `service` files and the environment; `target` determines where to connect: each `endpoint` with a
//! password from the `passfile`, and `tls`, which verifies a `certificate`; `connect` opens the connection, and
//! `failure` explains its errors; `connection` is the open session, and `session` sets one up for a migration, from a
//! `known_state`; `backend` identifies the server process that serves it.

pub mod backend;
mod certificate;
mod connect;
mod connection;
mod conninfo;
mod endpoint;
mod failure;
mod known_state;
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

pub use backend::{Backend, Living};
pub use connection::{Canceller, Connection, ServerVersion, all_closed};
pub use secret::may_hold_password;
pub use session::{Session, Sessions};
pub use target::{ConnectionArgs, Target};
