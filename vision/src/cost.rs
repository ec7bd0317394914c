//! What a frame costs: CPU milliseconds of one plate frame and one face frame, stage by stage.
//!
//! The pictures are drawn here: a network's time does not depend on what it sees, and nothing has to be fetched. Times are
//! the thread's CPU time, so a busy machine lengthens them only as far as it slows the core itself.

use serde::Serialize;
use std::time::Duration;

use crate::eval::{Spread, thread_cpu};
use crate::face::{FaceOptions, FoundFace};
use crate::frame::{Frame, FrameError, YuvRange};
use crate::plate::{FoundPlate, PlateOptions};
use crate::recognizer::{RecognizeError, Recognizer};

/// The figures of `gatehouse bench recognition`, CPU milliseconds of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
}

/// Times `frames` frames of each sort after three that are not counted.
pub fn recognition(
    recognizer: &Recognizer,
    frames: usize,
    long_side: u32,
) -> Result<RecognitionFigures, RecognizeError> {
    let frame = scene().unwrap_or_else(|error| unreachable!("the drawn planes have the stated size: {error}"));
    let plates = PlateOptions { long_side, sure: 0.0, ..PlateOptions::default() };
    let plate = FoundPlate {
        bounds: [500.0, 400.0, 660.0, 451.0],
        corners: [[500.0, 400.0], [660.0, 400.0], [660.0, 451.0], [500.0, 451.0]],
        score: 1.0,
    };
    let faces = FaceOptions::default();
    let face = FoundFace::at([560.0, 200.0, 700.0, 400.0], 1.0, (frame.width(), frame.height()));
    let mut times: [Vec<f64>; 4] = Default::default();
    for i in 0..frames.max(1) + 3 {
        let mut took = [0f64; 4];
        took[0] = timed(|| recognizer.plate_reader().find(&frame, &plates).map(drop))?;
        took[1] = timed(|| recognizer.plate_reader().read_at(&frame, &plate, &plates).map(drop))?;
        took[2] = timed(|| recognizer.face_reader().find(&frame, &faces).map(drop))?;
        if let Some(face) = &face {
            took[3] = timed(|| recognizer.face_reader().read_at(&frame, face).map(drop))?;
        }
        if i >= 3 {
            times.iter_mut().zip(took).for_each(|(times, took)| times.push(took));
        }
    }
    let sum = |a: usize, b: usize| Spread::of(times[a].iter().zip(&times[b]).map(|(a, b)| a + b).collect());
    let one = |a: usize| Spread::of(times[a].clone());
    Ok(RecognitionFigures {
        frames: frames.max(1),
        long_side,
        plate_frame_ms: sum(0, 1),
        plate_find_ms: one(0),
        plate_read_ms: one(1),
        face_frame_ms: sum(2, 3),
        face_find_ms: one(2),
        face_read_ms: one(3),
    })
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
    let (w, h) = (1280usize, 720usize);
    let y: Vec<u8> = (0..w * h).map(|i| (((i % w) / 7 * 31 + (i / w) / 5 * 17) % 200 + 20) as u8).collect();
    let c: Vec<u8> = (0..w * h / 4).map(|i| (110 + (i / 97) % 36) as u8).collect();
    Frame::from_i420((w as u32, h as u32), [&y, &c, &c], [w, w / 2, w / 2], YuvRange::Limited, Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_its_cost() {
        let recognizer = Recognizer::open(&crate::testkit::runtime()).expect("the runtime files are there");
        let figures = recognition(&recognizer, 2, 640).expect("runs");
        assert_eq!((figures.frames, figures.long_side), (2, 640));
        let stages = [figures.plate_find_ms, figures.plate_read_ms, figures.face_find_ms, figures.face_read_ms];
        assert!(stages.iter().all(|stage| stage.p50 > 0.05), "{stages:?}");
        assert!(figures.plate_frame_ms.p50 >= figures.plate_find_ms.p50);
    }
}
