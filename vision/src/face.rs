//! Faces in a picture: found, aligned, described, judged for life.
//!
//! ```text
//!  frame ─▶ 320×240 ─▶ detect ─▶ square box ─▶ 64×64 luma ─▶ 68 points ─▶ 5 points ─▶ 112×112 ─▶ numbers
//!                                    └──────▶ box × 2.7 ─▶ 128×128 ─▶ live / not
//! ```
//! Passive liveness has too little evidence behind it for a security claim: it turns away the laziest photographs, no more.

mod align;
mod detect;
mod gallery;

use crate::frame::{Frame, Rgb};
use crate::models::{self, Channels, FaceThresholds, RuntimePaths, Scaling};
use crate::onnx::{Model, OnnxError};
use crate::scratch::Pool;
pub use align::{FACE_POINTS, FaceQuality};
pub use detect::FoundFace;
pub use gallery::{Embedding, Gallery, Match, Template, TemplateError};
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
    scaling: Scaling,
    thresholds: FaceThresholds,
    dimension: usize,
    buffers: Pool<Vec<f32>>,
}

const DETECT: (u32, u32) = (320, 240);
const DETECT_SCALING: Scaling = Scaling::even(Channels::Rgb, 127.0, 128.0);
const LIVENESS_SCALING: Scaling = Scaling::even(Channels::Bgr, 0.0, 1.0);
/// Most numbers of a description: what the store takes.
const DIMENSION_MAX: usize = 2048;
const ALIGNED: u32 = 112;
const LIVENESS: u32 = 128;
const EYE: u32 = 24;
/// The liveness network looks at this many times the square box.
const LIVENESS_SCALE: f64 = 2.7;

impl FaceReader {
    /// Loads the models.
    pub fn open(paths: &RuntimePaths) -> Result<Self, OnnxError> {
        let embedder = &paths.models.face_embedder;
        let describer = Model::open(&embedder.spec, paths)?;
        let mut reader = Self {
            detector: Model::open(&models::FACE_DETECT, paths)?,
            landmarker: Model::open(&models::FACE_LANDMARK, paths)?,
            describer,
            liveness: Model::open(&models::FACE_LIVENESS, paths)?,
            eye: Model::open(&models::FACE_EYE, paths)?,
            scaling: embedder.scaling,
            thresholds: embedder.thresholds,
            dimension: 0,
            buffers: Pool::default(),
        };
        reader.dimension = reader.measure()?;
        Ok(reader)
    }

    /// The embedder's dimension: its graph is held to what it is given, and one run says what it gives.
    fn measure(&self) -> Result<usize, OnnxError> {
        let side = ALIGNED as usize;
        self.describer.need_input(&[1, 3, side, side])?;
        let output = self.describer.need_output()?.name.clone();
        let noise = (0..side * side * 3).map(|i| (i * 7919 % 256) as u8).collect();
        let picture = Rgb::from_bytes(ALIGNED, ALIGNED, noise)
            .map_err(|error| self.describer.unfit("file", error.to_string()))?;
        let (shape, finite) = self.infer(&self.describer, &picture, &self.scaling, |out| {
            let (shape, values) = out.tensor_with_shape(0)?;
            Ok((shape.to_vec(), values.iter().all(|value| value.is_finite())))
        })?;
        let numbers: Vec<usize> = shape.iter().filter_map(|&d| usize::try_from(d).ok()).filter(|d| *d != 1).collect();
        match numbers[..] {
            [dimension] if finite && dimension <= DIMENSION_MAX => Ok(dimension),
            _ if !finite => {
                let problem =
                    format!("output {output} holds numbers that are not finite: see to channels, mean and scale");
                Err(self.describer.unfit("scale", problem))
            }
            _ => {
                let problem = format!(
                    "output {output} of the graph is {shape:?}, a description of one face is wanted, 1×N with N at most \
                     {DIMENSION_MAX}: name another output, or another file"
                );
                Err(self.describer.unfit("output", problem))
            }
        }
    }

    /// The model that made the embeddings: stored with each template.
    pub fn model_id(&self) -> &str {
        &self.describer.spec().id
    }

    /// Numbers in an embedding.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How its cosines are judged.
    pub fn thresholds(&self) -> &FaceThresholds {
        &self.thresholds
    }

    /// Finds faces without describing them, largest first.
    pub fn find(&self, frame: &Frame, options: &FaceOptions) -> Result<Vec<FoundFace>, OnnxError> {
        let small = frame.rgb_resized_bilinear(DETECT.0, DETECT.1);
        let size = (frame.width(), frame.height());
        let mut faces = self.infer(&self.detector, &small, &DETECT_SCALING, |out| {
            Ok(detect::decode(out.tensor(0)?, out.tensor(1)?, size, options.score_min))
        })?;
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
        let embedding =
            self.infer(&self.describer, &aligned, &self.scaling, |out| Ok(Embedding::normalised(out.tensor(0)?)))?;
        let Some(embedding) = embedding else { return Ok(None) };
        let wide = scene.liveness_input(LIVENESS_SCALE, LIVENESS);
        let liveness = self.infer(&self.liveness, &wide, &LIVENESS_SCALING, |out| Ok(softmax_first(out.tensor(0)?)))?;
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

    /// Runs a model on one RGB picture.
    fn infer<T>(
        &self,
        model: &Model,
        picture: &Rgb,
        scaling: &Scaling,
        take: impl FnOnce(&crate::onnx::Outputs<'_>) -> Result<T, OnnxError>,
    ) -> Result<T, OnnxError> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let plane = width * height;
        let mut input = self.buffers.take();
        input.resize(3 * plane, 0.0);
        // 256 values a plane: the scaling is looked up, not computed a million times.
        for (values, (byte, numbers)) in input.chunks_exact_mut(plane.max(1)).zip(scaling.planes()) {
            for (value, pixel) in values.iter_mut().zip(picture.data().chunks_exact(3)) {
                *value = numbers[pixel[byte] as usize];
            }
        }
        let answer = model.run(&[1, 3, height, width], &input, take);
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
