//! The one door to recognition: plates and faces of a frame, from any worker thread.

use crate::face::{FaceOptions, FaceRead, FaceReader};
use crate::frame::Frame;
use crate::models::RuntimePaths;
use crate::onnx::OnnxError;
use crate::plate::{PlateError, PlateOptions, PlateRead, PlateReader};

/// Why recognition cannot start or failed on a frame.
#[derive(Debug, thiserror::Error)]
pub enum RecognizeError {
    /// The plate stages.
    #[error(transparent)]
    Plate(#[from] PlateError),
    /// The face stages.
    #[error(transparent)]
    Face(#[from] OnnxError),
}

/// All recognition models, loaded and verified. Share it behind an `Arc`; every call blocks for one inference or more, so
/// call it from worker threads. Each thread that is inside a call at once costs one session of each model it uses.
#[derive(Debug)]
pub struct Recognizer {
    plates: PlateReader,
    faces: FaceReader,
}

impl Recognizer {
    /// Loads ONNX Runtime and the models, checking every sha256.
    pub fn open(paths: &RuntimePaths) -> Result<Self, RecognizeError> {
        Ok(Self { plates: PlateReader::open(paths)?, faces: FaceReader::open(paths)? })
    }

    /// Reads the plates of a frame, best detection first.
    pub fn plates(&self, frame: &Frame, options: &PlateOptions) -> Result<Vec<PlateRead>, RecognizeError> {
        Ok(self.plates.read(frame, options)?)
    }

    /// Describes the faces of a frame, largest first.
    pub fn faces(&self, frame: &Frame, options: &FaceOptions) -> Result<Vec<FaceRead>, RecognizeError> {
        Ok(self.faces.read(frame, options)?)
    }

    /// The model behind every face description: templates of another one cannot be compared.
    pub fn face_model(&self) -> &'static str {
        self.faces.model_id()
    }

    /// The plate stages by themselves, to find without reading or to read at known corners.
    pub fn plate_reader(&self) -> &PlateReader {
        &self.plates
    }

    /// The face stages by themselves.
    pub fn face_reader(&self) -> &FaceReader {
        &self.faces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrol;
    use crate::face::Embedding;
    use crate::frame::{Rgb, YuvRange};
    use std::sync::OnceLock;
    use std::time::Duration;

    fn recognizer() -> &'static Recognizer {
        static SHARED: OnceLock<Recognizer> = OnceLock::new();
        SHARED.get_or_init(|| Recognizer::open(&crate::testkit::runtime()).expect("the runtime files are there"))
    }

    /// Photographs of set-up's demo folder: (person, bytes), the person being the name before the underscore.
    fn portraits() -> Vec<(String, Vec<u8>)> {
        let folder = crate::testkit::data().join("demo/faces");
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|_| {
                panic!("{} is not there: run `cargo run -- setup --data target/gatehouse-data` first", folder.display())
            })
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|kind| kind == "jpg" || kind == "png"))
            .collect();
        files.sort();
        let person = |path: &std::path::Path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            stem.split('_').next().unwrap_or_default().to_owned()
        };
        files.iter().map(|path| (person(path), std::fs::read(path).expect("is readable"))).collect()
    }

    /// A street-like picture without plate or face.
    fn empty_scene() -> Frame {
        let (w, h) = (640u32, 360u32);
        let pixel = |i: u32| [(40 + i % w / 8) as u8, (90 + i / w / 6) as u8, 120u8];
        Rgb::from_bytes(w, h, (0..w * h).flat_map(pixel).collect()).expect("sized").into_frame(Duration::ZERO)
    }

    #[test]
    fn an_empty_scene_has_neither_plate_nor_face() {
        assert_eq!(recognizer().plates(&empty_scene(), &PlateOptions::default()).expect("runs"), []);
        assert_eq!(recognizer().faces(&empty_scene(), &FaceOptions::default()).expect("runs"), []);
    }

    #[test]
    fn one_person_is_told_from_another_by_their_photographs() {
        // Each photograph, and a larger and coarser copy of it: another shot of the same person as a camera would give.
        let copy = |photo: &[u8]| {
            let frame = Frame::from_image_bytes(photo).expect("a picture");
            frame.rgb_resized(frame.width() * 6 / 5, frame.height() * 6 / 5).to_jpeg(60).expect("encodes")
        };
        let shots: Vec<(String, Embedding)> = portraits()
            .into_iter()
            .flat_map(|(person, photo)| [(person.clone(), copy(&photo)), (person, photo)])
            .map(|(person, photo)| {
                let template = enrol::template(recognizer(), &photo).expect("a portrait gives a template");
                (person, Embedding::normalised(&template).expect("a template has a length"))
            })
            .collect();
        assert!(shots.len() >= 4, "only {} shots of the demo's photographs", shots.len());
        let (mut same, mut different) = (0, 0);
        for (i, (who, a)) in shots.iter().enumerate() {
            for (other, b) in &shots[i + 1..] {
                let cosine = a.cosine(b);
                if who == other {
                    assert!(cosine >= 0.45, "{who}: {cosine}");
                    same += 1;
                } else {
                    assert!(cosine < 0.40, "{who} and {other}: {cosine}");
                    different += 1;
                }
            }
        }
        assert!(same >= 1 && different >= 3, "{same} pairs of one person, {different} of two");
    }

    #[test]
    fn a_face_is_described_alike_from_a_decoder_s_planes_and_from_rgb() {
        let (_, photo) = portraits().into_iter().next().expect("the demo has photographs");
        let rgb = Frame::from_image_bytes(&photo).expect("is a picture");
        let planes = as_i420(&rgb.to_rgb());
        let read = |frame: &Frame| recognizer().faces(frame, &FaceOptions::default()).expect("runs").swap_remove(0);
        let (a, b) = (read(&rgb), read(&planes));
        assert!(a.embedding.cosine(&b.embedding) > 0.95, "{}", a.embedding.cosine(&b.embedding));
        assert!((a.width_px - b.width_px).abs() < 0.05 * a.width_px);
    }

    /// Full-range BT.601 planes of a picture.
    fn as_i420(rgb: &Rgb) -> Frame {
        let (w, h) = (rgb.width(), rgb.height());
        let at =
            |x: u32, y: u32| <[u8; 3]>::try_from(rgb.pixel(x.min(w - 1), y.min(h - 1))).expect("three").map(f32::from);
        let luma =
            (0..w * h).map(|i| at(i % w, i / w)).map(|[r, g, b]| (0.299 * r + 0.587 * g + 0.114 * b).round() as u8);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let chroma = |of: fn([f32; 3]) -> f32| -> Vec<u8> {
            (0..cw * ch).map(|i| of(at(2 * (i % cw), 2 * (i / cw))).round().clamp(0.0, 255.0) as u8).collect()
        };
        let u = chroma(|[r, g, b]| 128.0 - 0.168736 * r - 0.331264 * g + 0.5 * b);
        let v = chroma(|[r, g, b]| 128.0 + 0.5 * r - 0.418688 * g - 0.081312 * b);
        let y: Vec<u8> = luma.collect();
        let strides = [w as usize, cw as usize, cw as usize];
        Frame::from_i420((w, h), [&y, &u, &v], strides, YuvRange::Full, Duration::ZERO).expect("sized")
    }
}
