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
    pub fn face_model(&self) -> &str {
        self.faces.model_id()
    }

    /// Numbers in every face description.
    pub fn face_dimension(&self) -> usize {
        self.faces.dimension()
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
    fn what_the_enrolment_gate_lets_pass_is_still_the_same_face_and_what_it_refuses_says_why() {
        let (_, photo) = portraits().into_iter().next().expect("the demo has photographs");
        let whole = Frame::from_image_bytes(&photo).expect("is a picture").to_rgb();
        let own = Embedding::normalised(&enrol::template(recognizer(), &photo).expect("a portrait")).expect("a length");
        let bright = |rgb: &Rgb| {
            let frame = rgb.clone().into_frame(Duration::ZERO);
            recognizer().faces(&frame, &FaceOptions::default()).expect("runs").swap_remove(0).quality.brightness
        };
        let lit = |to: f32| {
            let by = to / bright(&whole);
            let data = whole.data().iter().map(|&v| (f32::from(v) * by).round().min(255.0) as u8).collect();
            Rgb::from_bytes(whole.width(), whole.height(), data).expect("sized").to_jpeg(90).expect("encodes")
        };
        let dim = enrol::template(recognizer(), &lit(enrol::BRIGHTNESS.start() + 5.0)).expect("lit enough");
        let cosine = own.cosine(&Embedding::normalised(&dim).expect("a length"));
        assert!(cosine >= 0.5, "a door would not open to the face at the edge of the gate: {cosine}");
        let verdict = |photo: &[u8]| enrol::judge(recognizer(), photo).expect("is a picture").verdict;
        assert_eq!(verdict(&lit(enrol::BRIGHTNESS.start() - 10.0)).map_err(|e| e.code()), Err("face_too_dark"));
        let soft = Frame::from_image_bytes(&photo).expect("is a picture");
        let soft = soft.rgb_resized(soft.width() / 12, soft.height() / 12).into_frame(Duration::ZERO);
        let soft = soft.rgb_resized_bilinear(whole.width(), whole.height()).to_jpeg(90).expect("encodes");
        assert_eq!(verdict(&soft).map_err(|error| error.code()), Err("face_blurred"));
        let judged = enrol::judge(recognizer(), &photo).expect("is a picture");
        let [x, y, w, h] = judged.face.expect("a face");
        assert!(judged.verdict.is_ok() && x > 0.0 && y > 0.0 && x + w < 1.0 && y + h < 1.0, "{judged:?}");
        let nobody = enrol::judge(recognizer(), &empty_scene().to_rgb().to_jpeg(90).expect("encodes")).expect("reads");
        assert_eq!((nobody.face, nobody.verdict.map_err(|e| e.code())), (None, Err("no_face")));
        let few = enrol::templates(recognizer(), &[&photo, &photo]).map_err(|error| error.code());
        let twice = enrol::templates(recognizer(), &[&photo, &photo, &photo]).map_err(|error| error.code());
        assert_eq!((few, twice), (Err("too_few_photos"), Err("same_photo")));
    }

    #[test]
    fn a_portrait_has_open_eyes_and_its_mirror_image_turns_the_other_way() {
        let options = FaceOptions { gaze: true, ..FaceOptions::default() };
        let read = |rgb: &Rgb| {
            let frame = rgb.clone().into_frame(Duration::ZERO);
            recognizer().faces(&frame, &options).expect("runs").swap_remove(0)
        };
        for (who, photo) in portraits() {
            let rgb = Frame::from_image_bytes(&photo).expect("is a picture").to_rgb();
            let (w, row) = (rgb.width(), 3 * rgb.width() as usize);
            let mirrored = rgb.data().chunks_exact(row).flat_map(|row| row.chunks_exact(3).rev().flatten().copied());
            let mirrored = Rgb::from_bytes(w, rgb.height(), mirrored.collect()).expect("sized");
            let (face, other) = (read(&rgb), read(&mirrored));
            let (a, b) = (face.gaze.expect("was asked for"), other.gaze.expect("was asked for"));
            assert!((a.turn + b.turn).abs() < 0.08, "{who}: {a:?} and mirrored {b:?}");
            assert!(a.eyes_open >= 0.65 && b.eyes_open >= 0.65, "{who}: {a:?} and mirrored {b:?}");
            // Shut: the skin between brow and eye drawn over the eyes, a line of lashes below it.
            let mut shut = rgb.clone();
            let [left, right, ..] = face.landmarks;
            let apart = right[0] - left[0];
            for [x, y] in [left, right] {
                let (x, y, rx, ry) = (x as i64, y as i64, (0.36 * apart) as i64, (0.14 * apart) as i64);
                for dy in -ry..=ry {
                    for dx in -rx..=rx {
                        let from = rgb.pixel((x + dx) as u32, (y - ry - (dy + ry) / 4) as u32);
                        let dark = (dy - ry / 2).abs() <= 1;
                        let at = 3 * ((y + dy) as usize * w as usize + (x + dx) as usize);
                        let skin = from.iter().map(|v| if dark { v / 2 } else { *v });
                        shut.data_mut()[at..at + 3].iter_mut().zip(skin).for_each(|(to, v)| *to = v);
                    }
                }
            }
            let closed = read(&shut).gaze.expect("was asked for").eyes_open;
            assert!(closed <= 0.35, "{who} with the eyes drawn shut: {closed}");
        }
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
