//! Decisions about speed and pauses. Pure.

mod backoff;
mod chunk_size;
mod headway;

pub use backoff::backoff;
pub use chunk_size::ChunkSize;
pub use headway::Headway;
