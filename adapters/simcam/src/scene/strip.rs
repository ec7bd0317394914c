//! A machine-readable moment in the picture, to measure latency from a browser's pixels.
//!
//! Along the bottom edge, from the left corner: [`BITS`] blocks of [`BLOCK`] × [`BLOCK`] pixels, white is 1 and black is 0,
//! most significant first. The first 40 are the milliseconds since 1970-01-01 UTC when the picture was drawn, modulo 2^40; the
//! last 8 are CRC-8 (polynomial 0x07, start 0) over those five bytes. So block `i` is read at x = 8·i + 4, y = height − 4, and
//! is 1 when brighter than half.

use super::canvas::{I420, Rect};

/// Blocks in the strip.
pub const BITS: usize = 48;
/// Side of a block in pixels.
pub const BLOCK: usize = 8;
const MODULUS: u64 = 1 << 40;

/// Draws the moment; the picture must be at least 384 pixels wide.
pub fn draw(canvas: &mut I420, epoch_ms: u64) {
    let bits = pack(epoch_ms);
    let y0 = canvas.h.saturating_sub(BLOCK);
    for i in 0..BITS.min(canvas.w / BLOCK) {
        let r = Rect { x0: i * BLOCK, y0, x1: (i + 1) * BLOCK, y1: canvas.h };
        canvas.grey(r, if bits >> (BITS - 1 - i) & 1 == 1 { 235 } else { 16 });
    }
}

/// Reads the moment back out of a luma plane; `None` when the check does not fit. `near_ms` picks the right 2^40 ms window.
pub fn read(luma: &[u8], w: usize, h: usize, near_ms: u64) -> Option<u64> {
    let y = h.checked_sub(BLOCK / 2)?;
    let mut bits = 0u64;
    for i in 0..BITS {
        let x = i * BLOCK + BLOCK / 2;
        let value = if x < w { *luma.get(y * w + x)? } else { return None };
        bits = bits << 1 | u64::from(value > 125);
    }
    let low = bits >> 8;
    if pack(low) != bits {
        return None;
    }
    let base = (near_ms - near_ms % MODULUS).saturating_add(low);
    let candidates = [base.checked_sub(MODULUS), Some(base), base.checked_add(MODULUS)];
    candidates.into_iter().flatten().min_by_key(|c| c.abs_diff(near_ms))
}

fn pack(epoch_ms: u64) -> u64 {
    let low = epoch_ms % MODULUS;
    low << 8 | u64::from(crc8(&low.to_be_bytes()[3..]))
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, b| (0..8).fold(crc ^ b, |c, _| if c & 0x80 != 0 { c << 1 ^ 0x07 } else { c << 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_is_crc_8() {
        assert_eq!(crc8(b"123456789"), 0xf4);
    }

    proptest! {
        #[test]
        fn every_moment_is_read_back(ms in 0u64..1 << 44, off in -100_000_000i64..100_000_000) {
            let mut canvas = I420::black(640, 360);
            draw(&mut canvas, ms);
            prop_assert_eq!(read(&canvas.y, 640, 360, ms.saturating_add_signed(off)), Some(ms));
        }

        #[test]
        fn a_changed_bit_is_noticed(ms in 0u64..1 << 40, bit in 0usize..BITS) {
            let mut canvas = I420::black(640, 360);
            draw(&mut canvas, ms);
            let at = 356 * 640 + bit * BLOCK + 4;
            canvas.y[at] = if canvas.y[at] > 125 { 16 } else { 235 };
            prop_assert_eq!(read(&canvas.y, 640, 360, ms), None);
        }

        #[test]
        fn arbitrary_planes_never_panic(luma in proptest::collection::vec(any::<u8>(), 0..2_000), w in 0usize..700, h in 0usize..400, near: u64) {
            let _ = read(&luma, w, h, near);
        }
    }
}
