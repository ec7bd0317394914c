//! Faces in a picture: found, aligned, described, judged for life.
//!
//! ```text
//!  frame ─▶ 320×240 ─▶ detect ─▶ square box ─▶ 64×64 luma ─▶ 68 points ─▶ 5 points ─▶ 112×112 ─▶ 512 numbers
//!                                    └──────▶ box × 2.7 ─▶ 128×128 ─▶ live / not
//! ```
//! Passive liveness has too little evidence behind it for a security claim: it turns away the laziest photographs, no more.

mod align;
mod detect;
mod gallery;

use crate::frame::{Frame, Rgb};
use crate::models::{self, RuntimePaths};
use crate::onnx::{Model, OnnxError};
use crate::scratch::Pool;
pub use align::{FACE_POINTS, FaceQuality};
pub use detect::FoundFace;
pub use gallery::{DIMENSION, Embedding, Gallery, Match, Template, TemplateError};
use gatehouse_core::recognition::challenge::Gaze;

/// How a frame is searched for faces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceOptions {
    /// Least detector confidence.
    pub score_min: f32,
    /// Narrower faces are left out: they cannot be told apart. Pixels of the frame.
    pub width_min: f32,
    /// Most faces described in one frame, largest first: bounds the time of a crowd.
    pub faces_max: usize,
    /// Whether the turn of the head and the eyes are measured too: for the active challenge.
    pub gaze: bool,
}

impl Default for FaceOptions {
    fn default() -> Self {
        Self { score_min: 0.65, width_min: 40.0, faces_max: 4, gaze: false }
    }
}

/// A face described in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceRead {
    /// x1, y1, x2, y2 as the detector drew it, frame pixels.
    pub bounds: [f32; 4],
    /// Width of that box.
    pub width_px: f32,
    /// The detector's confidence, 0–1.
    pub score: f32,
    /// Who it looks like.
    pub embedding: Embedding,
    /// Passive liveness, 0–1.
    pub liveness: f32,
    /// Left eye, right eye, nose, mouth corners (left and right as seen), frame pixels.
    pub landmarks: [[f32; 2]; FACE_POINTS],
    /// How good the picture of the face is.
    pub quality: FaceQuality,
    /// Where it looks, where that was asked for.
    pub gaze: Option<Gaze>,
}

/// The face stages.
#[derive(Debug)]
pub struct FaceReader {
    detector: Model,
    landmarker: Model,
    describer: Model,
    liveness: Model,
    eye: Model,
    buffers: Pool<Vec<f32>>,
}

const DETECT: (u32, u32) = (320, 240);
const ALIGNED: u32 = 112;
const LIVENESS: u32 = 128;
const EYE: u32 = 24;
/// The liveness network looks at this many times the square box.
const LIVENESS_SCALE: f64 = 2.7;

impl FaceReader {
    /// Loads the models.
    pub fn open(paths: &RuntimePaths) -> Result<Self, OnnxError> {
        Ok(Self {
            detector: Model::open(&models::FACE_DETECT, paths)?,
            landmarker: Model::open(&models::FACE_LANDMARK, paths)?,
            describer: Model::open(&models::FACE_FEATURE, paths)?,
            liveness: Model::open(&models::FACE_LIVENESS, paths)?,
            eye: Model::open(&models::FACE_EYE, paths)?,
            buffers: Pool::default(),
        })
    }

    /// The model that made the embeddings: stored with each template.
    pub fn model_id(&self) -> &'static str {
        self.describer.spec().id
    }

    /// Finds faces without describing them, largest first.
    pub fn find(&self, frame: &Frame, options: &FaceOptions) -> Result<Vec<FoundFace>, OnnxError> {
        let small = frame.rgb_resized_bilinear(DETECT.0, DETECT.1);
        let size = (frame.width(), frame.height());
        let mut faces = self.infer(
            &self.detector,
            &[&small],
            [0, 1, 2],
            |v| (v - 127.0) / 128.0,
            |out| Ok(detect::decode(out.tensor(0)?, out.tensor(1)?, size, options.score_min)),
        )?;
        faces.retain(|face| face.width() >= options.width_min);
        faces.sort_by(|a, b| b.area().total_cmp(&a.area()));
        Ok(faces)
    }

    /// Finds and describes the faces of a frame, largest first.
    pub fn read(&self, frame: &Frame, options: &FaceOptions) -> Result<Vec<FaceRead>, OnnxError> {
        let mut reads = Vec::new();
        for found in self.find(frame, options)?.into_iter().take(options.faces_max) {
            reads.extend(self.read_at(frame, &found, options.gaze)?);
        }
        Ok(reads)
    }

    /// Describes the face in a box, with its gaze where that is asked for. `None` when the box or its points span no area.
    pub fn read_at(&self, frame: &Frame, found: &FoundFace, gaze: bool) -> Result<Option<FaceRead>, OnnxError> {
        let Some(scene) = align::Scene::around(frame, found) else { return Ok(None) };
        let face = scene.landmark_input();
        let (points, eyes) = self.infer_luma(&self.landmarker, &face, 256.0, |out| {
            let pairs = out.tensor(0)?;
            Ok((scene.points(pairs), scene.eyes(pairs)))
        })?;
        let Some(aligned) = scene.align(&points, ALIGNED) else { return Ok(None) };
        let embedding = self.infer(
            &self.describer,
            &[&aligned],
            [2, 1, 0],
            |v| (v - 127.0) / 128.0,
            |out| Ok(Embedding::normalised(out.tensor(0)?)),
        )?;
        let Some(embedding) = embedding else { return Ok(None) };
        let wide = scene.liveness_input(LIVENESS_SCALE, LIVENESS);
        let liveness =
            self.infer(&self.liveness, &[&wide], [2, 1, 0], |v| v, |out| Ok(softmax_first(out.tensor(0)?)))?;
        let quality = FaceQuality::of(&aligned, &points);
        Ok(Some(FaceRead {
            bounds: found.bounds,
            width_px: found.width(),
            score: found.score,
            embedding,
            liveness,
            quality,
            landmarks: points,
            gaze: match gaze {
                true => Some(Gaze { turn: quality.turn, eyes_open: self.eyes_open(&scene, eyes)? }),
                false => None,
            },
        }))
    }

    /// How surely the less open eye is open. An eye that spans nothing is not.
    fn eyes_open(&self, scene: &align::Scene, eyes: [[f64; 3]; 2]) -> Result<f32, OnnxError> {
        let mut least = 1f32;
        for eye in eyes {
            let open = match scene.eye_input(eye, EYE) {
                // Class 0 is closed.
                Some(eye) => self.infer_luma(&self.eye, &eye, 255.0, |out| Ok(1.0 - softmax_first(out.tensor(0)?)))?,
                None => 0.0,
            };
            least = least.min(open);
        }
        Ok(least)
    }

    /// Runs a model on one RGB picture, its planes in the given order, each byte through `scale`.
    fn infer<T>(
        &self,
        model: &Model,
        pictures: &[&Rgb],
        order: [usize; 3],
        scale: impl Fn(f32) -> f32,
        take: impl FnOnce(&crate::onnx::Outputs<'_>) -> Result<T, OnnxError>,
    ) -> Result<T, OnnxError> {
        let (width, height) = pictures.first().map_or((0, 0), |p| (p.width() as usize, p.height() as usize));
        let plane = width * height;
        // 256 values: the scaling is looked up, not computed a million times.
        let table: [f32; 256] = std::array::from_fn(|v| scale(v as f32));
        let mut input = self.buffers.take();
        input.resize(3 * plane * pictures.len(), 0.0);
        for (picture, planes) in pictures.iter().zip(input.chunks_exact_mut((3 * plane).max(1))) {
            for (values, channel) in planes.chunks_exact_mut(plane.max(1)).zip(order) {
                for (value, pixel) in values.iter_mut().zip(picture.data().chunks_exact(3)) {
                    *value = table[pixel[channel] as usize];
                }
            }
        }
        let answer = model.run(&[pictures.len(), 3, height, width], &input, take);
        self.buffers.give(input);
        answer
    }

    /// Runs a model on a luma picture, each byte as a share of `whole`.
    fn infer_luma<T>(
        &self,
        model: &Model,
        face: &crate::frame::Luma,
        whole: f32,
        take: impl FnOnce(&crate::onnx::Outputs<'_>) -> Result<T, OnnxError>,
    ) -> Result<T, OnnxError> {
        let mut input = self.buffers.take();
        input.clear();
        input.extend(face.data().iter().map(|&v| f32::from(v) / whole));
        let answer = model.run(&[1, 1, face.height() as usize, face.width() as usize], &input, take);
        self.buffers.give(input);
        answer
    }
}

/// The first class's share of a softmax; 0 for no classes.
fn softmax_first(values: &[f32]) -> f32 {
    let top = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = values.iter().map(|v| (v - top).exp()).sum();
    values.first().map_or(0.0, |first| (first - top).exp() / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_is_a_share_and_does_not_overflow() {
        assert!((softmax_first(&[1000.0, 1000.0]) - 0.5).abs() < 1e-6);
        assert!(softmax_first(&[-1000.0, 1000.0, 0.0]) < 1e-6);
        assert_eq!(softmax_first(&[]), 0.0);
    }
}
