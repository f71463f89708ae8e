//! How many blocks the next chunk should have.

use std::time::Duration;

/// Adapts the size of the next chunk to the duration of the last one.
#[derive(Debug, Clone, Copy)]
pub struct ChunkSize {
    target: Duration,
    blocks: i64,
}

/// 1 MB with 8 kB blocks: short on any machine.
const FIRST: i64 = 128;
/// 256 kB. The fixed cost of a transaction equals the cost of the rows of so few blocks. On a busy server, a smaller
/// chunk would be slower per row, and then shrink again and again.
const SMALLEST: i64 = 32;
/// If a chunk of the minimum size takes this many times the target, its rows must be very wide, and it may become
/// smaller.
const FAR_TOO_LONG: u32 = 8;
/// 8 GB: with more, the loss of a chunk would be expensive and progress coarse.
const LARGEST: i64 = 1 << 20;

impl ChunkSize {
    /// Starts small, aiming at chunks that take `target`.
    #[must_use]
    pub fn new(target: Duration) -> Self {
        ChunkSize { target, blocks: FIRST }
    }

    /// How many blocks the next chunk should have.
    #[must_use]
    pub fn blocks(&self) -> i64 {
        self.blocks
    }

    /// Adapts to a chunk with this number of blocks. Grows at most to twice the size and shrinks at most to a quarter
    /// at once, so that one unusual chunk has little effect.
    pub fn learn(&mut self, blocks: i64, took: Duration) {
        let factor = self.target.as_secs_f64() / took.as_secs_f64().max(0.001);
        let wanted = (blocks as f64 * factor) as i64;
        let least = if took > self.target * FAR_TOO_LONG { 1 } else { SMALLEST.min(self.blocks) };
        self.blocks = wanted.clamp(self.blocks / 4, self.blocks.saturating_mul(2)).clamp(least, LARGEST);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_chunk_always_has_a_block_and_never_too_many(
            chunks in prop::collection::vec((1i64..=LARGEST, 0u64..100_000), 0..50)
        ) {
            let mut size = ChunkSize::new(Duration::from_secs(1));
            for (blocks, millis) in chunks {
                size.learn(blocks, Duration::from_millis(millis));
                prop_assert!((1..=LARGEST).contains(&size.blocks()));
            }
        }
    }

    #[test]
    fn a_busy_server_does_not_make_it_tiny_and_wide_rows_do() {
        let settle = |fixed: u64, per_block: u64| {
            let mut size = ChunkSize::new(Duration::from_millis(3));
            for _ in 0..20 {
                size.learn(size.blocks(), Duration::from_micros(fixed + size.blocks() as u64 * per_block));
            }
            size.blocks()
        };
        assert_eq!(settle(5_000, 100), SMALLEST);
        assert!(settle(100, 20_000) <= 2);
    }

    #[test]
    fn it_settles_on_the_target_time() {
        let mut size = ChunkSize::new(Duration::from_secs(1));
        for _ in 0..20 {
            let blocks = size.blocks();
            size.learn(blocks, Duration::from_micros(blocks as u64 * 100)); // 10,000 blocks a second
        }
        assert!((9_000..=11_000).contains(&size.blocks()), "{}", size.blocks());
    }
}
