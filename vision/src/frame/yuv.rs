//! Planar 4:2:0 to RGB, BT.601, in 8-bit fixed point.

use super::{Rgb, View};

/// What the samples of a Y′CbCr picture span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum YuvRange {
    /// Luma 16–235, chroma 16–240: what cameras send unless their stream says otherwise.
    #[default]
    Limited,
    /// 0–255 (`video_full_range_flag`).
    Full,
}

/// Luma offset; gain; red of V; green of U and of V; blue of U: ×256.
type Weights = (i32, i32, i32, i32, i32, i32);
const LIMITED: Weights = (16, 298, 409, -100, -208, 516);
const FULL: Weights = (0, 256, 359, -88, -183, 454);

/// Converts three planes; chroma is taken from the nearest sample (each 2×2 block shares one).
pub(super) fn to_rgb([y, u, v]: [View<'_, 1>; 3], range: YuvRange) -> Rgb {
    let weights = match range {
        YuvRange::Limited => LIMITED,
        YuvRange::Full => FULL,
    };
    let mut out = Rgb::new(y.width, y.height);
    for (row, target) in out.data.chunks_exact_mut(3 * y.width as usize).enumerate() {
        let (luma, us, vs) = (y.row(row as u32), u.row(row as u32 / 2), v.row(row as u32 / 2));
        convert_row(luma, us, vs, weights, target);
    }
    out
}

fn convert_row(luma: &[u8], us: &[u8], vs: &[u8], weights: Weights, target: &mut [u8]) {
    let (offset, gain, rv, gu, gv, bu) = weights;
    for (((pair, &u), &v), out) in luma.chunks(2).zip(us).zip(vs).zip(target.chunks_mut(6)) {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let chroma = [rv * v + 128, gu * u + gv * v + 128, bu * u + 128];
        for (&y, out) in pair.iter().zip(out.chunks_exact_mut(3)) {
            let y = gain * (i32::from(y) - offset);
            for (out, c) in out.iter_mut().zip(chroma) {
                *out = ((y + c) >> 8).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Luma;

    fn one(y: u8, u: u8, v: u8, range: YuvRange) -> Vec<u8> {
        let plane = |value| Luma::from_bytes(1, 1, vec![value]).expect("one byte");
        let (y, u, v) = (plane(y), plane(u), plane(v));
        to_rgb([y.view(), u.view(), v.view()], range).data
    }

    #[test]
    fn primaries_of_bt601_come_out_within_two_steps() {
        let cases: [([u8; 3], YuvRange, [u8; 3]); 6] = [
            ([16, 128, 128], YuvRange::Limited, [0, 0, 0]),
            ([235, 128, 128], YuvRange::Limited, [255, 255, 255]),
            ([81, 90, 240], YuvRange::Limited, [255, 0, 0]),
            ([145, 54, 34], YuvRange::Limited, [0, 255, 0]),
            ([41, 240, 110], YuvRange::Limited, [0, 0, 255]),
            ([76, 85, 255], YuvRange::Full, [254, 0, 0]),
        ];
        for ([y, u, v], range, want) in cases {
            let got = one(y, u, v, range);
            assert!(got.iter().zip(want).all(|(g, w)| g.abs_diff(w) <= 2), "{y},{u},{v}: {got:?} against {want:?}");
        }
    }
}
