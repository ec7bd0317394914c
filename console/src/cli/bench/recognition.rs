//! `gatehouse bench recognition`: plates and faces, processor time per frame.

use super::{Common, Figures, with_cost};
use crate::api::health::cpu_seconds;
use crate::provision::{Lines, Provision};
use anyhow::Context;
use gatehouse_vision::cost;
use gatehouse_vision::eval::Spread;
use gatehouse_vision::models::RuntimePaths;
use gatehouse_vision::recognizer::Recognizer;
use serde_json::json;

/// Plates and faces, processor time per frame.
#[derive(Debug, clap::Args)]
pub struct Recognition {
    #[command(flatten)]
    pub common: Common,
    /// Frames to time of each sort
    #[arg(long, default_value_t = 40)]
    frames: usize,
    /// Long side plates are searched at, pixels
    #[arg(long, default_value_t = 960, value_parser = clap::value_parser!(u32).range(320..=3840))]
    long_side: u32,
}

impl Recognition {
    /// `plate_frame_ms_p50`: a 720p frame searched at the long side with one plate read; `face_frame_ms_p50`: one face
    /// found, aligned, described and judged for life. CPU milliseconds of one thread.
    pub fn measure(&self) -> anyhow::Result<Figures> {
        anyhow::ensure!(self.frames > 0, "frames must be at least 1");
        let provision = Provision::new(self.common.data.path());
        let paths = RuntimePaths {
            onnxruntime: provision.ensure_onnxruntime(&mut Lines::stderr())?,
            models_dir: provision.ensure_models(&mut Lines::stderr())?,
        };
        let cpu = cpu_seconds();
        let recognizer = Recognizer::open(&paths).context("opening the recognition models")?;
        let measured = cost::recognition(&recognizer, self.frames, self.long_side)?;
        let mut figures = Figures::new();
        figures.insert("frames".into(), json!(measured.frames));
        figures.insert("long_side".into(), json!(measured.long_side));
        let spreads: [(&str, Spread); 6] = [
            ("plate_frame_ms", measured.plate_frame_ms),
            ("plate_find_ms", measured.plate_find_ms),
            ("plate_read_ms", measured.plate_read_ms),
            ("face_frame_ms", measured.face_frame_ms),
            ("face_find_ms", measured.face_find_ms),
            ("face_read_ms", measured.face_read_ms),
        ];
        for (name, spread) in spreads {
            figures.insert(format!("{name}_p50"), json!(spread.p50));
            figures.insert(format!("{name}_p99"), json!(spread.p99));
        }
        Ok(with_cost(figures, cpu))
    }
}
