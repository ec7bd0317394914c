//! What recognition costs: CPU milliseconds of one plate frame and one face frame, stage by stage, beside the same networks
//! run bare, and what a search among many people takes.
//!
//! The pictures are drawn here: a network's time does not depend on what it sees, and nothing has to be fetched. Times are
//! the thread's CPU time, so a busy machine lengthens them only as far as it slows the core itself.

use serde::Serialize;
use std::path::Path;
use std::time::Duration;

use crate::eval::{Spread, thread_cpu};
use crate::face::{Embedding, FaceOptions, FoundFace, Gallery, Template};
use crate::frame::{Frame, FrameError, YuvRange};
use crate::models::{self, ModelSpec, RuntimePaths, TextNetwork};
use crate::onnx::{Model, OnnxError};
use crate::plate::{FoundPlate, PlateOptions};
use crate::recognizer::{RecognizeError, Recognizer};

/// The frame that is timed.
const SIZE: (u32, u32) = (1280, 720);
/// Frames before those that count.
const WARM: usize = 3;
/// Searches that are timed.
const SEARCHES: usize = 500;
/// Numbers of a description that is searched for: the usual count.
const SEARCHED_DIMENSION: usize = 512;
const SEARCHED_MODEL: &str = "made up";

/// The figures of `gatehouse bench vision`, CPU milliseconds of one thread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecognitionFigures {
    /// Frames timed of each sort.
    pub frames: usize,
    /// Long side plates were searched at, pixels.
    pub long_side: u32,
    /// A 1280 × 720 frame searched for plates, one plate read.
    pub plate_frame_ms: Spread,
    /// Of it: resizing and finding.
    pub plate_find_ms: Spread,
    /// Of it: flattening and reading one plate once.
    pub plate_read_ms: Spread,
    /// A 1280 × 720 frame searched for faces, one face aligned, described and judged for life.
    pub face_frame_ms: Spread,
    /// Of it: resizing and finding.
    pub face_find_ms: Spread,
    /// Of it: one face's landmarks, description and liveness.
    pub face_read_ms: Spread,
    /// The networks alone, on tensors that are ready: each by its model's file name without the ending.
    pub bare_ms: Vec<(String, Spread)>,
    /// The networks of a plate frame alone, together.
    pub plate_bare_ms: Spread,
    /// The networks of a face frame alone, together.
    pub face_bare_ms: Spread,
}

/// Times `frames` frames of each sort after three that are not counted; the bare networks in turn with them.
pub fn recognition(paths: &RuntimePaths, frames: usize, long_side: u32) -> Result<RecognitionFigures, RecognizeError> {
    let recognizer = Recognizer::open(paths)?;
    let bare = Bare::open(paths, long_side)?;
    let frame = scene().unwrap_or_else(|error| unreachable!("the drawn planes have the stated size: {error}"));
    let plates = PlateOptions { long_side, sure: 0.0, ..PlateOptions::default() };
    let plate = FoundPlate {
        bounds: [500.0, 400.0, 660.0, 451.0],
        corners: [[500.0, 400.0], [660.0, 400.0], [660.0, 451.0], [500.0, 451.0]],
        score: 1.0,
    };
    let faces = FaceOptions::default();
    let face = FoundFace::at([560.0, 200.0, 700.0, 400.0], 1.0, (frame.width(), frame.height()));
    let mut ours: [Vec<f64>; 4] = Default::default();
    let mut theirs: [Vec<f64>; NETWORKS] = Default::default();
    for i in 0..frames.max(1) + WARM {
        let mut took = [0f64; 4];
        took[0] = timed(|| recognizer.plate_reader().find(&frame, &plates).map(drop))?;
        took[1] = timed(|| recognizer.plate_reader().read_at(&frame, &plate, &plates).map(drop))?;
        took[2] = timed(|| recognizer.face_reader().find(&frame, &faces).map(drop))?;
        if let Some(face) = &face {
            took[3] = timed(|| recognizer.face_reader().read_at(&frame, face, false).map(drop))?;
        }
        let alone = bare.times()?;
        if i >= WARM {
            ours.iter_mut().zip(took).for_each(|(times, took)| times.push(took));
            theirs.iter_mut().zip(alone).for_each(|(times, took)| times.push(took));
        }
    }
    Ok(RecognitionFigures {
        frames: frames.max(1),
        long_side,
        plate_frame_ms: together(&ours[..2]),
        plate_find_ms: together(&ours[..1]),
        plate_read_ms: together(&ours[1..2]),
        face_frame_ms: together(&ours[2..]),
        face_find_ms: together(&ours[2..3]),
        face_read_ms: together(&ours[3..]),
        plate_bare_ms: together(&theirs[..PLATE_NETWORKS]),
        face_bare_ms: together(&theirs[PLATE_NETWORKS..]),
        bare_ms: bare.names().zip(theirs.map(Spread::of)).collect(),
    })
}

/// Times of stages that follow each other, summed frame by frame.
fn together(stages: &[Vec<f64>]) -> Spread {
    let frames = stages.first().map_or(0, Vec::len);
    Spread::of((0..frames).map(|i| stages.iter().filter_map(|times| times.get(i)).sum()).collect())
}

/// Networks of a plate frame, then those of a face frame.
const PLATE_NETWORKS: usize = 2;
const NETWORKS: usize = 6;

/// The networks without anything around them.
struct Bare([(Model, Vec<usize>, Vec<f32>); NETWORKS]);

impl Bare {
    fn open(paths: &RuntimePaths, long_side: u32) -> Result<Self, OnnxError> {
        let side = long_side as usize;
        let short = side * SIZE.1 as usize / SIZE.0 as usize;
        let network = |spec: &ModelSpec, shape: &[usize]| {
            let values = (0..shape.iter().product::<usize>()).map(|i| (i % 251) as f32 / 251.0).collect();
            Ok::<_, OnnxError>((Model::open(spec, paths)?, shape.to_vec(), values))
        };
        let embedder = &paths.models.face_embedder.spec;
        let TextNetwork { spec: reader, height, padded_width, .. } = &paths.models.plate_reader.network;
        Ok(Self([
            network(&models::PLATE_DETECT, &[1, 3, short, side])?,
            network(reader, &[1, 3, *height as usize, *padded_width as usize])?,
            network(&models::FACE_DETECT, &[1, 3, 240, 320])?,
            network(&models::FACE_LANDMARK, &[1, 1, 64, 64])?,
            network(embedder, &[1, 3, 112, 112])?,
            network(&models::FACE_LIVENESS, &[1, 3, 128, 128])?,
        ]))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let stem = |file: &str| Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.0.each_ref().map(|(model, ..)| stem(&model.spec().file)).into_iter()
    }

    fn times(&self) -> Result<[f64; NETWORKS], RecognizeError> {
        let mut times = [0.0; NETWORKS];
        for (time, (model, shape, values)) in times.iter_mut().zip(&self.0) {
            *time = timed(|| model.run(shape, values, |_| Ok(())))?;
        }
        Ok(times)
    }
}

/// CPU milliseconds of finding the nearest of so many people. The descriptions are made up, of 512 numbers, in no favourable
/// order.
pub fn search(people: usize) -> Spread {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut face = || {
        let values: Vec<f32> = (0..SEARCHED_DIMENSION)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect();
        Embedding::normalised(&values).unwrap_or_else(|| unreachable!("512 numbers that are not all zero"))
    };
    let mut gallery = Gallery::new(SEARCHED_MODEL, SEARCHED_DIMENSION);
    for person in 0..people {
        let template = Template::enrol(SEARCHED_MODEL, [&face()]);
        let template = template.unwrap_or_else(|error| unreachable!("one face is enough: {error}"));
        gallery.insert(person, &template).unwrap_or_else(|error| unreachable!("of the gallery's own model: {error}"));
    }
    let times = (0..SEARCHES).map(|_| {
        let wanted = face();
        let before = thread_cpu();
        std::hint::black_box(gallery.best(&wanted));
        (thread_cpu() - before).as_secs_f64() * 1000.0
    });
    Spread::of(times.collect())
}

fn timed<E>(work: impl FnOnce() -> Result<(), E>) -> Result<f64, RecognizeError>
where
    RecognizeError: From<E>,
{
    let before = thread_cpu();
    work()?;
    Ok((thread_cpu() - before).as_secs_f64() * 1000.0)
}

/// A frame as a decoder gives it: planes with some structure in them.
fn scene() -> Result<Frame, FrameError> {
    let (w, h) = (SIZE.0 as usize, SIZE.1 as usize);
    let y: Vec<u8> = (0..w * h).map(|i| (((i % w) / 7 * 31 + (i / w) / 5 * 17) % 200 + 20) as u8).collect();
    let c: Vec<u8> = (0..w * h / 4).map(|i| (110 + (i / 97) % 36) as u8).collect();
    Frame::from_i420(SIZE, [&y, &c, &c], [w, w / 2, w / 2], YuvRange::Limited, Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_its_cost() {
        let figures = recognition(&crate::testkit::runtime(), 2, 640).expect("runs");
        assert_eq!((figures.frames, figures.long_side), (2, 640));
        let stages = [figures.plate_find_ms, figures.plate_read_ms, figures.face_find_ms, figures.face_read_ms];
        assert!(stages.iter().all(|stage| stage.p50 > 0.05), "{stages:?}");
        assert!(figures.plate_frame_ms.p50 >= figures.plate_find_ms.p50);
        let names: Vec<_> = figures.bare_ms.iter().map(|(name, _)| name.as_str()).collect();
        let all = ["clp_det", "clp_v2_c_rec", "fr_detect", "fr_landmark", "fr_feature", "fr_liveness"];
        assert_eq!(names, all);
        assert!(figures.bare_ms.iter().all(|(_, spread)| spread.p50 > 0.0), "{:?}", figures.bare_ms);
    }

    #[test]
    fn a_search_among_more_people_takes_longer() {
        assert!(search(4_000).p50 > search(40).p50);
    }
}
