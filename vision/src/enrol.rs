//! From a photograph to a template, and from stored templates to a gallery.

use std::collections::BTreeMap;

use gatehouse_core::id::PersonId;

use crate::face::{Embedding, FaceOptions, FaceRead, Gallery, Template};
use crate::frame::{Frame, FrameError};
use crate::models;
use crate::recognizer::{RecognizeError, Recognizer};

/// The model that makes the templates: stored beside each one.
pub const MODEL: &str = models::FACE_FEATURE.id;

/// Least width of a face to enrol, pixels. Doors ask for 80; a template should be better than what it is compared with.
pub const WIDTH_MIN: f32 = 80.0;
/// Least sharpness (variance of the Laplacian): below it, eyes and mouth have no edges left.
pub const SHARPNESS_MIN: f32 = 20.0;
/// A second face at least this share of the first one's width makes it unclear whom the photograph shows.
const SECOND_FACE: f32 = 0.5;

/// Why a photograph gives no template.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Not a picture.
    #[error("the photograph is not a readable JPEG or PNG")]
    Unreadable,
    /// Too many pixels, or none.
    #[error("{0}")]
    Size(FrameError),
    /// The file is not whole.
    #[error("the photograph ends in the middle; send the whole file")]
    Truncated,
    /// No face was found.
    #[error("no face was found in the photograph")]
    NoFace,
    /// More than one person could be meant.
    #[error("the photograph shows {0} faces of similar size; one person must stand out")]
    SeveralFaces(usize),
    /// The face is too small.
    #[error("the face is {0:.0} pixels wide; at least {WIDTH_MIN:.0} are needed")]
    TooSmall(f32),
    /// The face is out of focus.
    #[error("the face is blurred (sharpness {0:.0}, at least {SHARPNESS_MIN:.0} needed)")]
    Blurred(f32),
    /// Recognition itself failed.
    #[error(transparent)]
    Recognition(#[from] RecognizeError),
}

impl EnrolError {
    /// A short code for interfaces.
    pub fn code(&self) -> &'static str {
        match self {
            EnrolError::Unreadable => "photo_unreadable",
            EnrolError::Size(_) => "photo_size",
            EnrolError::Truncated => "photo_truncated",
            EnrolError::NoFace => "no_face",
            EnrolError::SeveralFaces(_) => "several_faces",
            EnrolError::TooSmall(_) => "face_too_small",
            EnrolError::Blurred(_) => "face_blurred",
            EnrolError::Recognition(_) => "recognition_failed",
        }
    }
}

/// The template of the one person a JPEG or PNG shows: 512 numbers of unit length, made by [`MODEL`].
pub fn template(recognizer: &Recognizer, photo: &[u8]) -> Result<Vec<f32>, EnrolError> {
    let frame = Frame::from_image_bytes(photo).map_err(unreadable)?;
    let options = FaceOptions { width_min: 24.0, ..FaceOptions::default() };
    let faces = recognizer.faces(&frame, &options)?;
    Ok(choose(&faces)?.embedding.values().to_vec())
}

/// Why a photograph could not be read, as far as the one who sent it can do something about it.
fn unreadable(error: FrameError) -> EnrolError {
    match error {
        FrameError::Size { .. } | FrameError::Large { .. } => EnrolError::Size(error),
        FrameError::Truncated => EnrolError::Truncated,
        FrameError::Short { .. } | FrameError::Decode(_) | FrameError::Encode(_) => EnrolError::Unreadable,
    }
}

/// The face a photograph is about: the largest, if it is large and sharp enough and stands out.
fn choose(faces: &[FaceRead]) -> Result<&FaceRead, EnrolError> {
    let first = faces.first().ok_or(EnrolError::NoFace)?;
    let rivals = faces.iter().filter(|face| face.width_px >= SECOND_FACE * first.width_px).count();
    if rivals > 1 {
        return Err(EnrolError::SeveralFaces(rivals));
    }
    if first.width_px < WIDTH_MIN {
        return Err(EnrolError::TooSmall(first.width_px));
    }
    if first.quality.sharpness < SHARPNESS_MIN {
        return Err(EnrolError::Blurred(first.quality.sharpness));
    }
    Ok(first)
}

/// A gallery of stored templates `(person, numbers, model)`; several of one person are averaged.
///
/// Templates of another model, or damaged ones, are left out and counted in a warning: those people enrol again.
pub fn gallery(stored: impl IntoIterator<Item = (PersonId, Vec<f32>, String)>) -> Gallery {
    let mut shots: BTreeMap<PersonId, Vec<Embedding>> = BTreeMap::new();
    let mut refused = 0usize;
    for (person, values, model) in stored {
        match Embedding::normalised(&values).filter(|_| model == MODEL) {
            Some(embedding) => shots.entry(person).or_default().push(embedding),
            None => refused += 1,
        }
    }
    let mut gallery = Gallery::new(MODEL);
    for (person, shots) in &shots {
        let taken = Template::enrol(MODEL, shots).and_then(|template| gallery.insert(*person, &template));
        refused += usize::from(taken.is_err());
    }
    if refused > 0 {
        tracing::warn!(refused, "Face templates of another model or damaged: these people must enrol again");
    }
    gallery
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::FaceQuality;

    fn face(width_px: f32, sharpness: f32) -> FaceRead {
        let mut numbers = [0f32; 512];
        numbers[0] = 1.0;
        FaceRead {
            bounds: [0.0, 0.0, width_px, width_px],
            width_px,
            score: 1.0,
            embedding: Embedding::normalised(&numbers).expect("not zero"),
            liveness: 1.0,
            landmarks: [[0.0; 2]; 5],
            quality: FaceQuality { sharpness, brightness: 120.0, turn: 0.0 },
        }
    }

    #[test]
    fn a_bad_file_says_what_is_wrong_with_it() {
        let code = |photo: &[u8]| Frame::from_image_bytes(photo).map_err(unreadable).err().map(|error| error.code());
        let jpeg = crate::frame::Rgb::from_bytes(40, 40, vec![90; 4800]).expect("sized").to_jpeg(90).expect("encodes");
        assert_eq!(code(&jpeg), None);
        assert_eq!(code(&jpeg[..jpeg.len() - 9]), Some("photo_truncated"));
        assert_eq!(code(b""), Some("photo_unreadable"));
        assert_eq!(code(b"%PDF-1.7"), Some("photo_unreadable"));
    }

    #[test]
    fn one_large_sharp_face_is_chosen_and_others_say_why_not() {
        let code = |faces: &[FaceRead]| choose(faces).err().map(|error| error.code());
        assert_eq!(code(&[face(200.0, 300.0), face(60.0, 300.0)]), None);
        assert_eq!(code(&[]), Some("no_face"));
        assert_eq!(code(&[face(200.0, 300.0), face(150.0, 300.0)]), Some("several_faces"));
        assert_eq!(code(&[face(60.0, 300.0)]), Some("face_too_small"));
        assert_eq!(code(&[face(200.0, 3.0)]), Some("face_blurred"));
    }

    #[test]
    fn a_gallery_averages_a_person_and_leaves_other_models_out() {
        let along = |axis: usize| {
            let mut numbers = vec![0f32; 512];
            numbers[axis] = 1.0;
            numbers
        };
        let (ann, bob) = (PersonId::from_key("ann"), PersonId::from_key("bob"));
        let gallery = gallery([
            (ann, along(0), MODEL.to_owned()),
            (ann, along(1), MODEL.to_owned()),
            (bob, along(2), "another/1".to_owned()),
            (bob, vec![1.0; 3], MODEL.to_owned()),
        ]);
        assert_eq!(gallery.len(), 1);
        let found = gallery.best(&Embedding::normalised(&along(1)).expect("not zero")).expect("ann is known");
        assert_eq!(found.person, ann);
        assert!((found.cosine - 0.5f32.sqrt()).abs() < 1e-4);
    }
}
