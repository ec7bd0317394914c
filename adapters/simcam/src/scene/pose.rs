//! A face that acts: the head turned, the eyes closed, made from one frontal photograph.
//!
//! The middle of the face is drawn aside, the nose farthest, as a turned head shows it; over closed eyes lies the skin
//! from above them, with a line of lashes. It is no model of a head: what it is good for is measured on the recognition
//! that looks at it.

use super::paint::{Point, smooth};
use image::{Rgb, RgbImage};

/// Eye distances by which the nose's surroundings move in a turned head: beyond, the picture would fold.
const ASIDE: f32 = 0.54;
/// How far the face and the nose stand out, and how wide and high they are, eye distances.
const FACE: [f32; 3] = [0.8, 1.25, 1.7];
const NOSE: [f32; 3] = [0.4, 0.24, 0.3];
/// Where the middle of the face lies under that of the eyes, eye distances.
const MIDDLE: f32 = 0.45;
/// An eye's width, eye distances.
const EYE: f32 = 0.42;
/// Steps to find where a pixel of the turned face comes from.
const STEPS: usize = 12;

/// What a face does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pose {
    /// It looks into the camera.
    Straight,
    /// The head is turned to the person's own left.
    TurnLeft,
    /// The head is turned to the person's own right.
    TurnRight,
    /// Both eyes are closed.
    CloseEyes,
}

impl Pose {
    /// Every pose.
    pub const ALL: [Pose; 4] = [Pose::Straight, Pose::TurnLeft, Pose::TurnRight, Pose::CloseEyes];
}

/// Where the parts of a frontal face are, pixels: the eyes as seen from left to right, the tip of the nose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features {
    /// Middles of the eyes.
    pub eyes: [Point; 2],
    /// The tip of the nose.
    pub nose: Point,
}

impl Features {
    /// Distance of the eyes.
    fn apart(&self) -> f32 {
        (self.eyes[1][0] - self.eyes[0][0]).max(1.0)
    }

    /// The same in a picture that is so many times larger.
    pub fn scaled(&self, by: f32) -> Self {
        let at = |p: Point| p.map(|v| v * by);
        Self { eyes: self.eyes.map(at), nose: at(self.nose) }
    }
}

/// The photograph with its face in a pose.
pub fn posed(photo: &RgbImage, face: &Features, pose: Pose) -> RgbImage {
    match pose {
        Pose::Straight => photo.clone(),
        Pose::TurnLeft => turned(photo, face, ASIDE),
        Pose::TurnRight => turned(photo, face, -ASIDE),
        Pose::CloseEyes => closed(photo, face),
    }
}

/// `aside` in eye distances, to the right of the picture.
fn turned(photo: &RgbImage, face: &Features, aside: f32) -> RgbImage {
    let apart = face.apart();
    let middle = |k: usize| (face.eyes[0][k] + face.eyes[1][k]) / 2.0;
    let centre = [middle(0), middle(1) + MIDDLE * apart];
    let nose = (face.nose[1] - centre[1]) / apart;
    let stands_out = |x: f32, y: f32| {
        let inside = (1.0 - (x / FACE[1]).powi(2) - (y / FACE[2]).powi(2)).max(0.0);
        FACE[0] * inside * inside + NOSE[0] * (-(x / NOSE[1]).powi(2) - ((y - nose) / NOSE[2]).powi(2)).exp()
    };
    let mut out = photo.clone();
    for (px, py, pixel) in out.enumerate_pixels_mut() {
        let [x, y] = [(px as f32 - centre[0]) / apart, (py as f32 - centre[1]) / apart];
        // Where aside moves things at most is outside of what moves at all.
        if x.abs() > FACE[1] + 1.0 || y.abs() > FACE[2] {
            continue;
        }
        let from = (0..STEPS).fold(x, |from, _| x - aside * stands_out(from, y));
        *pixel = sample(photo, centre[0] + from * apart, py as f32);
    }
    out
}

fn closed(photo: &RgbImage, face: &Features) -> RgbImage {
    let mut out = photo.clone();
    let width = EYE * face.apart();
    let (half, high) = (width * 0.62, width * 0.36);
    for eye in face.eyes {
        let (top, bottom) = (eye[1] - high, eye[1] + high);
        for (px, py, pixel) in out.enumerate_pixels_mut() {
            let (x, y) = (px as f32, py as f32);
            let (u, v) = ((x - eye[0]) / half, (y - eye[1]) / high);
            let covered = smooth(1.0, 0.7, u.hypot(v));
            if covered <= 0.0 {
                continue;
            }
            // The skin above drawn down over the eye, and that below it.
            let down = ((y - top) / (bottom - top)).clamp(0.0, 1.0);
            let above = sample(photo, x, top - 0.10 * width * (1.0 - down));
            let below = sample(photo, x, bottom + 0.06 * width);
            let lashes = if u.abs() < 0.95 { 0.55 * (-((v - 0.45 + 0.35 * u * u) / 0.16).powi(2)).exp() } else { 0.0 };
            for (value, (above, below)) in pixel.0.iter_mut().zip(above.0.into_iter().zip(below.0)) {
                let skin = (f32::from(above) * (1.0 - down) + f32::from(below) * down) * (1.0 - lashes);
                *value = (f32::from(*value) * (1.0 - covered) + skin * covered).round() as u8;
            }
        }
    }
    out
}

/// Between four pixels; outside, the edge's.
fn sample(photo: &RgbImage, x: f32, y: f32) -> Rgb<u8> {
    let (w, h) = photo.dimensions();
    let axis = |v: f32, side: u32| {
        let v = v.clamp(0.0, (side - 1) as f32);
        (v as u32, (v as u32 + 1).min(side - 1), v.fract())
    };
    let ((x0, x1, fx), (y0, y1, fy)) = (axis(x, w), axis(y, h));
    let at = |x, y, k: usize| f32::from(photo.get_pixel(x, y).0[k]);
    Rgb(std::array::from_fn(|k| {
        let upper = at(x0, y0, k) * (1.0 - fx) + at(x1, y0, k) * fx;
        let lower = at(x0, y1, k) * (1.0 - fx) + at(x1, y1, k) * fx;
        (upper * (1.0 - fy) + lower * fy).round() as u8
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey face with dark eyes and a white nose.
    fn photo() -> (RgbImage, Features) {
        let face = Features { eyes: [[80.0, 90.0], [120.0, 90.0]], nose: [100.0, 115.0] };
        let near = |x: u32, y: u32, p: Point| (x as f32 - p[0]).hypot(y as f32 - p[1]) < 3.0;
        let photo = RgbImage::from_fn(200, 200, |x, y| match () {
            () if near(x, y, face.nose) => Rgb([250; 3]),
            () if face.eyes.iter().any(|eye| near(x, y, *eye)) => Rgb([5; 3]),
            () => Rgb([120; 3]),
        });
        (photo, face)
    }

    /// Mean column of the pixels that fit.
    fn column(photo: &RgbImage, fits: impl Fn(u8) -> bool) -> f32 {
        let xs: Vec<f32> = photo.enumerate_pixels().filter(|(.., p)| fits(p.0[0])).map(|(x, ..)| x as f32).collect();
        xs.iter().sum::<f32>() / xs.len() as f32
    }

    #[test]
    fn a_turned_head_has_its_nose_aside_of_its_eyes() {
        let (photo, face) = photo();
        let off = |pose| {
            let turned = posed(&photo, &face, pose);
            column(&turned, |v| v > 200) - column(&turned, |v| v < 60)
        };
        assert!(off(Pose::Straight).abs() < 1.0);
        assert!(off(Pose::TurnLeft) > 6.0, "the person's left is the picture's right: {}", off(Pose::TurnLeft));
        assert!(off(Pose::TurnRight) < -6.0, "{}", off(Pose::TurnRight));
    }

    #[test]
    fn closed_eyes_are_covered_and_nothing_else_is() {
        let (photo, face) = photo();
        let closed = posed(&photo, &face, Pose::CloseEyes);
        assert!(face.eyes.iter().all(|eye| closed.get_pixel(eye[0] as u32, eye[1] as u32).0[0] > 60));
        assert_eq!(closed.get_pixel(100, 115), photo.get_pixel(100, 115));
        assert_eq!(closed.get_pixel(10, 10), photo.get_pixel(10, 10));
    }

    #[test]
    fn a_face_at_the_edge_is_no_reason_to_panic() {
        let face = Features { eyes: [[-5.0, 0.0], [300.0, 1.0]], nose: [f32::NAN, 900.0] };
        for pose in Pose::ALL {
            posed(&RgbImage::new(20, 10), &face, pose);
        }
    }
}
