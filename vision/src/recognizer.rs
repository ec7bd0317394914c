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
