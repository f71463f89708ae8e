//! pgrecast
pub mod error;
pub mod name;
