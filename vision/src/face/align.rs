//! The pictures each face network wants, cut from around the face; five points; a measure of quality.

use crate::frame::{Affine, Frame, Luma, Rgb, View};

use super::detect::FoundFace;

/// Points an alignment uses: two eyes, nose tip, two mouth corners.
pub const FACE_POINTS: usize = 5;

/// Where ArcFace wants those points in its 112 × 112 picture.
const TEMPLATE: [[f64; 2]; FACE_POINTS] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];
/// The eye network looks at this many times an eye's width.
const EYE_SCALE: f64 = 1.6;
/// Side of the landmark network's input.
const LANDMARK: u32 = 64;

/// The surroundings of one face, converted once and shared by the stages.
pub(super) struct Scene {
    part: Rgb,
    /// Where the part's top left pixel lies in the frame.
    origin: [i64; 2],
    /// The frame's size.
    size: [f64; 2],
    /// The square box, frame pixels: x1, y1, width, height.
    square: [f64; 4],
}

impl Scene {
    /// Takes what all stages look at; `None` when the box spans nothing.
    pub(super) fn around(frame: &Frame, face: &FoundFace) -> Option<Self> {
        let [x1, y1, x2, y2] = face.square.map(f64::from);
        let square = [x1, y1, x2 - x1, y2 - y1];
        let size = [f64::from(frame.width()), f64::from(frame.height())];
        let [lx, ly, lw, lh] = window(square, size, super::LIVENESS_SCALE);
        // A large face's liveness window may be narrower than what alignment samples.
        let (px, py) = (square[2] / 2.0, square[3] / 2.0);
        let (left, top) = ((lx as f64).min(x1 - px).floor(), (ly as f64).min(y1 - py).floor());
        let right = ((lx + lw) as f64).max(x2 + px).ceil();
        let bottom = ((ly + lh) as f64).max(y2 + py).ceil();
        let (left, top) = (left.max(0.0) as i64, top.max(0.0) as i64);
        let (part, origin) = frame.rgb_crop(left, top, right as i64 - left, bottom as i64 - top)?;
        Some(Self { part, origin, size, square })
    }

    /// The square box at 64 × 64, luma.
    pub(super) fn landmark_input(&self) -> Luma {
        self.cut(window(self.square, self.size, 1.0)).resize_bilinear(LANDMARK, LANDMARK).view().to_luma()
    }

    /// The square box × `scale`, moved inside the frame, at `side` × `side`.
    pub(super) fn liveness_input(&self, scale: f64, side: u32) -> Rgb {
        self.cut(window(self.square, self.size, scale)).resize_bilinear(side, side)
    }

    /// Five points in frame pixels from the network's 68 pairs (0–1 of the box). Missing pairs count as the box's corner.
    pub(super) fn points(&self, pairs: &[f32]) -> [[f32; 2]; FACE_POINTS] {
        let [x, y, w, h] = self.square;
        let mean = |indices: &[usize]| {
            let sum = indices.iter().fold([0f64; 2], |sum, &i| {
                let at = |k: usize| pairs.get(2 * i + k).copied().map_or(0.0, f64::from);
                [sum[0] + at(0), sum[1] + at(1)]
            });
            let n = indices.len() as f64;
            [(x + w * sum[0] / n) as f32, (y + h * sum[1] / n) as f32]
        };
        // The 68-point scheme of iBUG 300-W: lids without their corners, nose tip, outer and inner mouth corners.
        [mean(&[37, 38, 40, 41]), mean(&[43, 44, 46, 47]), mean(&[30]), mean(&[48, 60]), mean(&[54, 64])]
    }

    /// Where both eyes are: middle and width, frame pixels. Missing pairs count as the box's corner.
    pub(super) fn eyes(&self, pairs: &[f32]) -> [[f64; 3]; 2] {
        let [x, y, w, h] = self.square;
        let at = |i: usize, k: usize| pairs.get(2 * i + k).copied().map_or(0.0, f64::from);
        // The lids give the middle, the corners the width.
        let eye = |lids: [usize; 4], from: usize, to: usize| {
            let mean = |k: usize| lids.iter().map(|&i| at(i, k)).sum::<f64>() / 4.0;
            [x + w * mean(0), y + h * mean(1), (w * (at(to, 0) - at(from, 0))).abs()]
        };
        [eye([37, 38, 40, 41], 36, 39), eye([43, 44, 46, 47], 42, 45)]
    }

    /// An eye with its surroundings, luma; `None` when it spans less than a pixel or lies outside.
    pub(super) fn eye_input(&self, [x, y, width]: [f64; 3], side: u32) -> Option<Luma> {
        let span = width * EYE_SCALE;
        if !(1.0..=1e4).contains(&span) {
            return None;
        }
        let [left, top] = [x - span / 2.0, y - span / 2.0].map(|v| v.max(0.0) as i64);
        let (left, top) = (left - self.origin[0], top - self.origin[1]);
        let eye = self.part.view().crop(left, top, span as i64, span as i64)?;
        Some(eye.resize_bilinear(side, side).view().to_luma())
    }

    /// The face turned, scaled and moved so that its points meet the template.
    pub(super) fn align(&self, points: &[[f32; 2]; FACE_POINTS], side: u32) -> Option<Rgb> {
        let here = points.map(|[x, y]| [f64::from(x) - self.origin[0] as f64, f64::from(y) - self.origin[1] as f64]);
        let back = Affine::similarity(&here, &TEMPLATE)?.inverse()?;
        Some(self.part.view().warp_affine(&back, side, side))
    }

    fn cut(&self, [x, y, w, h]: [i64; 4]) -> View<'_, 3> {
        let part = self.part.view();
        part.crop(x - self.origin[0], y - self.origin[1], w, h).unwrap_or(part)
    }
}

/// A square box scaled about its centre, shrunk to fit the picture and moved inside it: x, y, width, height in whole pixels.
///
/// The networks were trained with this cut, including its truncation.
fn window([x, y, w, h]: [f64; 4], [width, height]: [f64; 2], scale: f64) -> [i64; 4] {
    let scale = scale.min((height - 1.0) / h).min((width - 1.0) / w);
    let axis = |from: f64, size: f64, side: f64| {
        let (mut start, mut end) = (from + size / 2.0 - size * scale / 2.0, from + size / 2.0 + size * scale / 2.0);
        if start < 0.0 {
            (start, end) = (0.0, end - start);
        }
        if end > side - 1.0 {
            (start, end) = (start - (end - side + 1.0), side - 1.0);
        }
        (start.max(0.0) as i64, ((end - start).min(side - 1.0) as i64).max(1))
    };
    let ((x, w), (y, h)) = (axis(x, w, width), axis(y, h, height));
    [x, y, w, h]
}

/// How good the picture of a face is, for choosing enrolment photographs and the best frame of a passage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceQuality {
    /// Variance of the Laplacian of the aligned face; below some 40 the face is blurred.
    pub sharpness: f32,
    /// Mean luma of the aligned face, 0–255.
    pub brightness: f32,
    /// How far the nose is off the middle of the eyes, in eye distances: 0 frontal, ± 0.5 far turned.
    pub turn: f32,
}

impl FaceQuality {
    pub(super) fn of(aligned: &Rgb, points: &[[f32; 2]; FACE_POINTS]) -> Self {
        let luma = aligned.view().to_luma();
        let (w, h) = (luma.width() as usize, luma.height() as usize);
        let data = luma.data();
        let brightness = data.iter().map(|&v| f32::from(v)).sum::<f32>() / data.len().max(1) as f32;
        let (mut sum, mut squares, mut n) = (0f64, 0f64, 0f64);
        for y in 1..h.saturating_sub(1) {
            for x in 1..w.saturating_sub(1) {
                let at = |i: usize| f64::from(data[i]);
                let i = y * w + x;
                let edge = at(i - 1) + at(i + 1) + at(i - w) + at(i + w) - 4.0 * at(i);
                sum += edge;
                squares += edge * edge;
                n += 1.0;
            }
        }
        let sharpness = if n > 0.0 { (squares / n - (sum / n) * (sum / n)) as f32 } else { 0.0 };
        let [left, right, nose, ..] = points;
        let (ex, ey) = (right[0] - left[0], right[1] - left[1]);
        let apart = ex * ex + ey * ey;
        let along = (nose[0] - left[0]) * ex + (nose[1] - left[1]) * ey;
        let turn = if apart > 0.0 { along / apart - 0.5 } else { 0.0 };
        Self { sharpness, brightness, turn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_window_is_moved_and_shrunk_into_the_picture() {
        assert_eq!(window([40.0, 40.0, 20.0, 20.0], [200.0, 200.0], 2.0), [30, 30, 40, 40]);
        assert_eq!(window([0.0, 40.0, 20.0, 20.0], [200.0, 200.0], 2.0), [0, 30, 40, 40]);
        assert_eq!(window([180.0, 40.0, 19.0, 20.0], [200.0, 200.0], 2.0), [161, 30, 38, 40]);
        let [x, y, w, h] = window([50.0, 10.0, 80.0, 80.0], [200.0, 100.0], 2.7);
        assert!(x >= 0 && y >= 0 && x + w <= 200 && y + h <= 100 && (w, h) == (99, 99));
    }

    fn scene(points: [[f64; 2]; 5]) -> Scene {
        // A dark frame with one bright dot at each point.
        let mut field = Rgb::new(300, 200);
        for [x, y] in points {
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let at = 3 * ((y as usize + dy) * 300 + x as usize + dx);
                field.data_mut()[at..at + 3].copy_from_slice(&[255, 255, 255]);
            }
        }
        let face = FoundFace::at([100.0, 50.0, 180.0, 150.0], 1.0, (300, 200)).expect("inside");
        Scene::around(&field.into_frame(Duration::ZERO), &face).expect("spans an area")
    }

    #[test]
    fn the_five_points_land_on_the_template() {
        let points = [[120.0, 80.0], [160.0, 84.0], [139.0, 104.0], [122.0, 126.0], [156.0, 129.0]];
        let scene = scene(points);
        let seen = points.map(|[x, y]| [x as f32 + 0.5, y as f32 + 0.5]);
        let aligned = scene.align(&seen, 112).expect("points are apart");
        for [x, y] in &TEMPLATE[..2] {
            let (x, y) = (x.round() as u32, y.round() as u32);
            let brightest = (x - 3..=x + 3).flat_map(|x| (y - 3..=y + 3).map(move |y| (x, y)));
            assert!(brightest.map(|(x, y)| aligned.pixel(x, y)[0]).max() > Some(120), "an eye near {x},{y}");
        }
        assert!(scene.align(&[[5.0, 5.0]; 5], 112).is_none());
    }

    #[test]
    fn points_are_means_of_the_68_in_frame_pixels() {
        let scene = scene([[120.0, 80.0]; 5]);
        let mut pairs = [0f32; 136];
        for i in [37, 38, 40, 41] {
            pairs[2 * i..2 * i + 2].copy_from_slice(&[0.3, 0.4]);
        }
        let points = scene.points(&pairs);
        assert_eq!(points[0], [90.0 + 0.3 * 100.0, 50.0 + 0.4 * 100.0]);
        assert_eq!(scene.points(&[])[4], [90.0, 50.0]);
    }

    #[test]
    fn a_flat_face_is_blurred_and_a_centred_nose_is_frontal() {
        let flat = Rgb::from_bytes(8, 8, vec![90; 192]).expect("sized");
        let frontal = FaceQuality::of(&flat, &[[10.0, 10.0], [20.0, 10.0], [15.0, 15.0], [12.0, 20.0], [18.0, 20.0]]);
        assert_eq!((frontal.sharpness, frontal.turn), (0.0, 0.0));
        assert!((frontal.brightness - 90.0).abs() < 0.01);
        let turned = FaceQuality::of(&flat, &[[10.0, 10.0], [20.0, 10.0], [19.0, 15.0], [12.0, 20.0], [18.0, 20.0]]);
        assert!((turned.turn - 0.4).abs() < 1e-6);
    }
}
