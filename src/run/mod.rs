//! What every step is handed.

pub mod definition;
pub mod events;
