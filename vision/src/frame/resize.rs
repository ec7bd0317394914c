//! Resizing by bilinear interpolation and by area, in OpenCV's geometry.

use super::{Raster, View};

/// One target coordinate's two neighbouring source samples: the first, and the weight of the one after it in 1/2048.
#[derive(Clone, Copy)]
struct Tap {
    first: u32,
    weight: i32,
}

const ONE: i32 = 2048;

/// Taps of a whole axis of at least two samples: target centre (i + ½)·scale − ½, edges replicated.
fn taps(from: u32, to: u32) -> Vec<Tap> {
    let scale = f64::from(from) / f64::from(to);
    (0..to)
        .map(|i| {
            let at = ((f64::from(i) + 0.5) * scale - 0.5).clamp(0.0, f64::from(from - 1));
            let first = at.floor().min(f64::from(from - 2));
            Tap { first: first as u32, weight: ((at - first) * f64::from(ONE)).round() as i32 }
        })
        .collect()
}

pub(super) fn bilinear<const C: usize>(src: View<'_, C>, width: u32, height: u32) -> Raster<C> {
    if width == 0 || height == 0 {
        return Raster { width, height, data: Vec::new() };
    }
    if (width, height) == (src.width, src.height) {
        return src.to_raster();
    }
    if src.width < 2 || src.height < 2 {
        return bilinear(doubled(src).view(), width, height);
    }
    let columns = taps(src.width, width);
    let rows = taps(src.height, height);
    let len = C * width as usize;
    // Two rows of horizontally interpolated samples (×2048), refilled only when the source row changes.
    let mut held: [(Option<u32>, Vec<i32>); 2] = [(None, vec![0; len]), (None, vec![0; len])];
    let mut out = Raster::new(width, height);
    for (tap, target) in rows.iter().zip(out.data.chunks_exact_mut(len)) {
        if held[0].0 != Some(tap.first) && held[1].0 == Some(tap.first) {
            held.swap(0, 1);
        }
        for (slot, wanted) in held.iter_mut().zip([tap.first, tap.first + 1]) {
            if slot.0 != Some(wanted) {
                stretch_row::<C>(src.row(wanted), &columns, &mut slot.1);
                slot.0 = Some(wanted);
            }
        }
        let (w1, w0) = (tap.weight, ONE - tap.weight);
        for ((&a, &b), out) in held[0].1.iter().zip(&held[1].1).zip(target) {
            // 255·2048·2048 needs 30 bits: no overflow.
            *out = ((a * w0 + b * w1 + (1 << 21)) >> 22) as u8;
        }
    }
    out
}

/// A picture one sample wide or high, with that sample twice: the same picture to an interpolation.
fn doubled<const C: usize>(src: View<'_, C>) -> Raster<C> {
    let (w, h) = (src.width.max(2), src.height.max(2));
    let mut out = Raster::new(w, h);
    for (y, row) in out.data.chunks_exact_mut(C * w as usize).enumerate() {
        let source = src.row((y as u32).min(src.height - 1));
        for (x, pixel) in row.chunks_exact_mut(C).enumerate() {
            let at = C * x.min(src.width as usize - 1);
            pixel.copy_from_slice(&source[at..at + C]);
        }
    }
    out
}

fn stretch_row<const C: usize>(row: &[u8], columns: &[Tap], out: &mut [i32]) {
    for (tap, out) in columns.iter().zip(out.chunks_exact_mut(C)) {
        let at = C * tap.first as usize;
        // One bounds check for both neighbours.
        let (first, second) = row[at..at + 2 * C].split_at(C);
        for c in 0..C {
            out[c] = i32::from(first[c]) * (ONE - tap.weight) + i32::from(second[c]) * tap.weight;
        }
    }
}

/// The source samples one target sample covers: first index and the weights, which sum to 1.
struct Cover {
    first: u32,
    weights: Vec<f32>,
}

fn covers(from: u32, to: u32) -> Vec<Cover> {
    let scale = f64::from(from) / f64::from(to);
    (0..to)
        .map(|i| {
            let (start, end) = (f64::from(i) * scale, (f64::from(i + 1) * scale).min(f64::from(from)));
            let first = (start.floor() as u32).min(from - 1);
            let last = ((end - 1e-9).floor() as u32).clamp(first, from - 1);
            let mut weights: Vec<f32> =
                (first..=last).map(|s| (end.min(f64::from(s + 1)) - start.max(f64::from(s))).max(0.0) as f32).collect();
            let sum: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
            Cover { first, weights }
        })
        .collect()
}

pub(super) fn area<const C: usize>(src: View<'_, C>, width: u32, height: u32) -> Raster<C> {
    if width >= src.width || height >= src.height || width == 0 || height == 0 {
        return bilinear(src, width, height);
    }
    let columns = covers(src.width, width);
    let len = C * width as usize;
    let mut sums = vec![0f32; C * src.width as usize];
    let mut out = Raster::new(width, height);
    for (cover, target) in covers(src.height, height).iter().zip(out.data.chunks_exact_mut(len)) {
        // Down the columns first: the inner loop runs over contiguous bytes.
        sums.fill(0.0);
        for (row, &weight) in (cover.first..).zip(&cover.weights) {
            for (sum, &v) in sums.iter_mut().zip(src.row(row)) {
                *sum += weight * f32::from(v);
            }
        }
        for (cover, target) in columns.iter().zip(target.chunks_exact_mut(C)) {
            let mut acc = [0f32; C];
            for (pixel, &weight) in sums[C * cover.first as usize..].chunks_exact(C).zip(&cover.weights) {
                for c in 0..C {
                    acc[c] += weight * pixel[c];
                }
            }
            for c in 0..C {
                target[c] = (acc[c] + 0.5) as u8;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Luma;

    fn luma(width: u32, data: &[u8]) -> Luma {
        Luma::from_bytes(width, data.len() as u32 / width, data.to_vec()).expect("whole rows")
    }

    #[test]
    fn doubling_a_row_gives_the_quarters_opencv_gives() {
        // cv2.resize(np.uint8([[0, 100]]), (4, 1)) → 0, 25, 75, 100
        assert_eq!(bilinear(luma(2, &[0, 100]).view(), 4, 1).data, [0, 25, 75, 100]);
        assert_eq!(bilinear(luma(1, &[0, 100]).view(), 1, 4).data, [0, 25, 75, 100]);
    }

    #[test]
    fn shrinking_by_area_is_the_mean_of_what_is_covered() {
        assert_eq!(area(luma(4, &[0, 10, 20, 30, 0, 10, 20, 30]).view(), 2, 1).data, [5, 25]);
        // Three into two: ⅔ and ⅓ of neighbours. cv2 INTER_AREA: (0·1 + 90·.5)/1.5 = 30, (90·.5 + 30)/1.5 = 50.
        assert_eq!(area(luma(3, &[0, 90, 30, 0, 90, 30]).view(), 2, 1).data, [30, 50]);
    }

    #[test]
    fn the_same_size_is_a_copy_and_one_pixel_fills_all() {
        let src = luma(3, &[9, 8, 7, 6, 5, 4]);
        assert_eq!(bilinear(src.view(), 3, 2).data, src.data);
        assert!(bilinear(luma(1, &[42]).view(), 5, 7).data.iter().all(|&v| v == 42));
    }

    proptest::proptest! {
        #[test]
        fn a_resize_stays_between_the_darkest_and_brightest_source_pixel(
            (w, h, data) in (1u32..12, 1u32..12).prop_flat_map(|(w, h)| {
                proptest::collection::vec(0u8..=255, (w * h) as usize).prop_map(move |d| (w, h, d))
            }),
            tw in 1u32..24, th in 1u32..24,
        ) {
            let (low, high) = (*data.iter().min().expect("not empty"), *data.iter().max().expect("not empty"));
            let src = Luma::from_bytes(w, h, data).expect("sized");
            for out in [bilinear(src.view(), tw, th), area(src.view(), tw, th)] {
                proptest::prop_assert_eq!(out.data.len(), (tw * th) as usize);
                proptest::prop_assert!(out.data.iter().all(|v| (low..=high).contains(v)));
            }
        }
    }
    use proptest::prelude::Strategy;
}
