//! Plane maps and sampling through them: four corners to a rectangle, five points to a template.

use super::{Raster, View};

/// A projective map of the plane, row-major 3×3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Homography(pub [f64; 9]);

/// An affine map of the plane: x′ = a·x + b·y + c, y′ = d·x + e·y + f.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine(pub [f64; 6]);

impl Homography {
    /// The map that takes each of `from` to the same of `to`; `None` when three of them lie on a line.
    pub fn between(from: [[f64; 2]; 4], to: [[f64; 2]; 4]) -> Option<Self> {
        let mut system = [[0f64; 9]; 8];
        for (i, ([x, y], [u, v])) in from.into_iter().zip(to).enumerate() {
            system[2 * i] = [x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u];
            system[2 * i + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v];
        }
        let [a, b, c, d, e, f, g, h] = solve(system)?;
        Some(Self([a, b, c, d, e, f, g, h, 1.0]))
    }

    /// Where a point goes; not finite on the horizon.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let m = &self.0;
        let w = m[6] * x + m[7] * y + m[8];
        [(m[0] * x + m[1] * y + m[2]) / w, (m[3] * x + m[4] * y + m[5]) / w]
    }
}

impl Affine {
    /// The similarity (turn, scale, shift; no mirror) with the least squared error between the points.
    ///
    /// Closed form of Umeyama (PAMI 1991) in the plane. `None` with fewer than two points, or when they coincide.
    pub fn similarity(from: &[[f64; 2]], to: &[[f64; 2]]) -> Option<Self> {
        let n = from.len().min(to.len());
        if n < 2 {
            return None;
        }
        let mean = |points: &[[f64; 2]]| {
            let sum = points.iter().take(n).fold([0.0, 0.0], |s, p| [s[0] + p[0], s[1] + p[1]]);
            [sum[0] / n as f64, sum[1] / n as f64]
        };
        let (mf, mt) = (mean(from), mean(to));
        let (mut spread, mut cos, mut sin) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py, qx, qy) = (p[0] - mf[0], p[1] - mf[1], q[0] - mt[0], q[1] - mt[1]);
            spread += px * px + py * py;
            cos += px * qx + py * qy;
            sin += px * qy - py * qx;
        }
        if spread <= f64::EPSILON {
            return None;
        }
        let (a, b) = (cos / spread, sin / spread);
        Some(Self([a, -b, mt[0] - a * mf[0] + b * mf[1], b, a, mt[1] - b * mf[0] - a * mf[1]]))
    }

    /// The map back; `None` when this one flattens the plane.
    pub fn inverse(&self) -> Option<Self> {
        let [a, b, c, d, e, f] = self.0;
        let det = a * e - b * d;
        if det.abs() <= f64::EPSILON {
            return None;
        }
        let (ia, ib, id, ie) = (e / det, -b / det, -d / det, a / det);
        Some(Self([ia, ib, -(ia * c + ib * f), id, ie, -(id * c + ie * f)]))
    }

    /// Where a point goes.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [a, b, c, d, e, f] = self.0;
        [a * x + b * y + c, d * x + e * y + f]
    }
}

/// Gauss with partial pivoting.
fn solve(mut m: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for col in 0..8 {
        let pivot = (col..8).max_by(|&a, &b| m[a][col].abs().total_cmp(&m[b][col].abs()))?;
        if m[pivot][col].abs() < 1e-10 || !m[pivot][col].is_finite() {
            return None;
        }
        m.swap(col, pivot);
        let lead = m[col];
        for (row, line) in m.iter_mut().enumerate() {
            if row != col {
                let factor = line[col] / lead[col];
                line.iter_mut().zip(lead).for_each(|(v, l)| *v -= factor * l);
            }
        }
    }
    Some(std::array::from_fn(|i| m[i][8] / m[i][i]))
}

pub(super) fn perspective<const C: usize>(src: View<'_, C>, map: &Homography, width: u32, height: u32) -> Raster<C> {
    sample(src, width, height, |x, y| map.apply([x, y]))
}

pub(super) fn affine<const C: usize>(src: View<'_, C>, map: &Affine, width: u32, height: u32) -> Raster<C> {
    sample(src, width, height, |x, y| map.apply([x, y]))
}

/// Bilinear samples; neighbours outside the source count as black (OpenCV's constant border).
fn sample<const C: usize>(src: View<'_, C>, width: u32, height: u32, map: impl Fn(f64, f64) -> [f64; 2]) -> Raster<C> {
    let mut out = Raster::new(width, height);
    if width == 0 || height == 0 {
        return out;
    }
    let (sw, sh) = (i64::from(src.width), i64::from(src.height));
    for (y, row) in out.data.chunks_exact_mut(C * width as usize).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(C).enumerate() {
            let [sx, sy] = map(x as f64, y as f64);
            if !(sx > -1.0 && sy > -1.0 && sx < sw as f64 && sy < sh as f64) {
                continue;
            }
            let (bx, by) = (sx.floor(), sy.floor());
            let (fx, fy) = ((sx - bx) as f32, (sy - by) as f32);
            let (bx, by) = (bx as i64, by as i64);
            let corners = [
                (bx, by, (1.0 - fx) * (1.0 - fy)),
                (bx + 1, by, fx * (1.0 - fy)),
                (bx, by + 1, (1.0 - fx) * fy),
                (bx + 1, by + 1, fx * fy),
            ];
            let mut acc = [0f32; C];
            for (cx, cy, weight) in corners {
                if cx >= 0 && cy >= 0 && cx < sw && cy < sh {
                    let at = cy as usize * src.stride + C * cx as usize;
                    for (a, &v) in acc.iter_mut().zip(&src.data[at..at + C]) {
                        *a += weight * f32::from(v);
                    }
                }
            }
            for (out, a) in pixel.iter_mut().zip(acc) {
                *out = (a + 0.5) as u8;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Luma;

    fn near(a: [f64; 2], b: [f64; 2]) -> bool {
        (a[0] - b[0]).abs() < 1e-6 && (a[1] - b[1]).abs() < 1e-6
    }

    #[test]
    fn four_corners_go_where_they_are_told() {
        let from = [[0.0, 0.0], [10.0, 0.0], [10.0, 5.0], [0.0, 5.0]];
        let to = [[3.0, 4.0], [30.0, 8.0], [28.0, 21.0], [2.0, 15.0]];
        let map = Homography::between(from, to).expect("no three on a line");
        assert!(from.into_iter().zip(to).all(|(f, t)| near(map.apply(f), t)));
        assert!(Homography::between([[1.0, 1.0]; 4], to).is_none());
        assert!(Homography::between([[f64::NAN; 2]; 4], to).is_none());
    }

    #[test]
    fn a_similarity_is_found_and_undone() {
        let from = [[1.0, 2.0], [5.0, -1.0], [0.0, 0.5], [3.0, 3.0]];
        let truth = Affine([0.6, -0.8, 7.0, 0.8, 0.6, -2.0]);
        let to = from.map(|p| truth.apply(p));
        let found = Affine::similarity(&from, &to).expect("spread points");
        let back = found.inverse().expect("scale 1");
        for (p, q) in from.into_iter().zip(to) {
            assert!(near(found.apply(p), q) && near(back.apply(q), p));
        }
        assert!(Affine::similarity(&[[1.0, 1.0]; 5], &[[2.0, 2.0]; 5]).is_none());
    }

    #[test]
    fn a_shift_moves_pixels_and_brings_black_in() {
        let src = Luma::from_bytes(3, 1, vec![10, 20, 30]).expect("three bytes");
        assert_eq!(affine(src.view(), &Affine([1.0, 0.0, 1.0, 0.0, 1.0, 0.0]), 3, 1).data, [20, 30, 0]);
        assert_eq!(affine(src.view(), &Affine([1.0, 0.0, 0.5, 0.0, 1.0, 0.0]), 3, 1).data, [15, 25, 15]);
        let nowhere = Homography([f64::NAN; 9]);
        assert_eq!(perspective(src.view(), &nowhere, 2, 1).data, [0, 0]);
    }
}
