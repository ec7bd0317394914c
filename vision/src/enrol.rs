//! From photographs to templates, and from stored templates to a gallery.
//!
//! ```text
//!  photograph ─▶ face ─▶ one? whole? large? light? sharp? ─▶ pose ─▶ template ─▶ of one person, of three pictures
//! ```
//! Nothing here is stored: a photograph lives as long as the call that is given it.

use std::collections::BTreeMap;

use gatehouse_core::id::PersonId;

use crate::face::{Embedding, FaceOptions, FaceQuality, FaceRead, Gallery, Template};
use crate::frame::{Frame, FrameError};
use crate::models::FaceThresholds;
use crate::recognizer::{RecognizeError, Recognizer};

/// Least width of a face to enrol, pixels. Doors ask for 80; a template should be better than what it is compared with.
pub const WIDTH_MIN: f32 = 80.0;
/// Fewest photographs of one person: three averaged are measured to be enough.
pub const PHOTOS_MIN: usize = 3;
/// Most photographs of one person; more add nothing.
pub const PHOTOS_MAX: usize = 5;
/// Mean luma of the face below which noise is more than skin, and above which it has no shades left, 0–255.
pub const BRIGHTNESS: std::ops::RangeInclusive<f32> = 45.0..=225.0;
/// The nose off the middle of the eyes, in eye distances: up to here the face is straight.
pub const STRAIGHT: f32 = 0.08;
/// Up to here it is turned slightly; beyond, a cheek hides.
pub const TURNED: f32 = 0.35;
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
    /// The face leaves the picture.
    #[error("the face is cut off at the edge of the picture; move it to the middle")]
    CutOff,
    /// Too little light.
    #[error("the face is too dark (mean {0:.0}, at least {min:.0} needed); turn to the light", min = BRIGHTNESS.start())]
    TooDark(f32),
    /// Too much light.
    #[error("the face is too bright (mean {0:.0}, at most {max:.0}); turn away from the light", max = BRIGHTNESS.end())]
    TooBright(f32),
    /// Turned too far.
    #[error("the face is turned too far aside; turn back until both cheeks are seen")]
    TurnedAway(f32),
    /// Not enough photographs.
    #[error("{0} photographs were sent; at least {PHOTOS_MIN} are needed")]
    Few(usize),
    /// Too many photographs.
    #[error("{0} photographs were sent; at most {PHOTOS_MAX} are taken")]
    Many(usize),
    /// One of several photographs.
    #[error("photograph {number}: {problem}")]
    Photo {
        /// Which, from one.
        number: usize,
        /// What is wrong with it.
        problem: Box<EnrolError>,
    },
    /// One picture sent twice.
    #[error("photographs {0} and {1} are one picture; take another")]
    SamePicture(usize, usize),
    /// Photographs of different people.
    #[error("photographs {0} and {1} do not show one person")]
    TwoPeople(usize, usize),
    /// Recognition itself failed.
    #[error(transparent)]
    Recognition(#[from] RecognizeError),
}

/// Which way a face looks, as the person themselves would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pose {
    /// Into the camera.
    Straight,
    /// To their left: to the right in the picture.
    Left,
    /// To their right.
    Right,
}

impl Pose {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Pose::Straight => "straight",
            Pose::Left => "left",
            Pose::Right => "right",
        }
    }

    fn of(turn: f32) -> Self {
        match turn {
            turn if turn > STRAIGHT => Pose::Left,
            turn if turn < -STRAIGHT => Pose::Right,
            _ => Pose::Straight,
        }
    }
}

/// What a photograph is good for.
#[derive(Debug)]
pub struct Judged {
    /// Where the largest face is, x, y, width, height as shares of the picture.
    pub face: Option<[f32; 4]>,
    /// Which way the face looks, or why the photograph is refused.
    pub verdict: Result<Pose, EnrolError>,
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
            EnrolError::CutOff => "face_cut_off",
            EnrolError::TooDark(_) => "face_too_dark",
            EnrolError::TooBright(_) => "face_too_bright",
            EnrolError::TurnedAway(_) => "face_turned",
            EnrolError::Few(_) => "too_few_photos",
            EnrolError::Many(_) => "too_many_photos",
            EnrolError::Photo { problem, .. } => problem.code(),
            EnrolError::SamePicture(..) => "same_photo",
            EnrolError::TwoPeople(..) => "two_people",
            EnrolError::Recognition(_) => "recognition_failed",
        }
    }
}

/// The template of the one person a JPEG or PNG shows: numbers of unit length, made by [`Recognizer::face_model`].
pub fn template(recognizer: &Recognizer, photo: &[u8]) -> Result<Vec<f32>, EnrolError> {
    Ok(embedding(recognizer, photo)?.values().to_vec())
}

/// The templates of one person by several photographs; which one is refused and why.
///
/// [`PHOTOS_MIN`] to [`PHOTOS_MAX`] photographs, each good by itself, none twice, all of one person.
pub fn templates<P: AsRef<[u8]>>(recognizer: &Recognizer, photos: &[P]) -> Result<Vec<Vec<f32>>, EnrolError> {
    match photos.len() {
        few if few < PHOTOS_MIN => return Err(EnrolError::Few(few)),
        many if many > PHOTOS_MAX => return Err(EnrolError::Many(many)),
        _ => {}
    }
    let numbered = |(n, photo): (usize, &P)| {
        embedding(recognizer, photo.as_ref())
            .map_err(|problem| EnrolError::Photo { number: n + 1, problem: Box::new(problem) })
    };
    let shots = photos.iter().enumerate().map(numbered).collect::<Result<Vec<_>, _>>()?;
    agree(&shots, recognizer.face_reader().thresholds())?;
    Ok(shots.iter().map(|shot| shot.values().to_vec()).collect())
}

/// Whether a photograph could be enrolled, for the one who is taking it. An unreadable one has no verdict but an error.
pub fn judge(recognizer: &Recognizer, photo: &[u8]) -> Result<Judged, EnrolError> {
    let (faces, size) = faces(recognizer, photo)?;
    let face = faces.first().map(|face| {
        let [x1, y1, x2, y2] = face.bounds;
        let share = |at: f32, of: f32| (at / of).clamp(0.0, 1.0);
        let (x, y) = (share(x1, size[0]), share(y1, size[1]));
        [x, y, share(x2, size[0]) - x, share(y2, size[1]) - y]
    });
    Ok(Judged { face, verdict: choose(&faces, size).map(|face| Pose::of(face.quality.turn)) })
}

fn embedding(recognizer: &Recognizer, photo: &[u8]) -> Result<Embedding, EnrolError> {
    let (faces, size) = faces(recognizer, photo)?;
    Ok(choose(&faces, size)?.embedding.clone())
}

/// The faces of a photograph, and its width and height.
fn faces(recognizer: &Recognizer, photo: &[u8]) -> Result<(Vec<FaceRead>, [f32; 2]), EnrolError> {
    let frame = Frame::from_image_bytes(photo).map_err(unreadable)?;
    let options = FaceOptions { width_min: 24.0, ..FaceOptions::default() };
    Ok((recognizer.faces(&frame, &options)?, [frame.width() as f32, frame.height() as f32]))
}

/// Whether photographs are different pictures of one person.
fn agree(shots: &[Embedding], thresholds: &FaceThresholds) -> Result<(), EnrolError> {
    for (i, a) in shots.iter().enumerate() {
        for (j, b) in shots.iter().enumerate().skip(i + 1) {
            let cosine = a.cosine(b);
            if cosine >= thresholds.one_picture {
                return Err(EnrolError::SamePicture(i + 1, j + 1));
            }
            if cosine < thresholds.one_person {
                return Err(EnrolError::TwoPeople(i + 1, j + 1));
            }
        }
    }
    Ok(())
}

/// Why a photograph could not be read, as far as the one who sent it can do something about it.
fn unreadable(error: FrameError) -> EnrolError {
    match error {
        FrameError::Size { .. } | FrameError::Large { .. } => EnrolError::Size(error),
        FrameError::Truncated => EnrolError::Truncated,
        FrameError::Short { .. } | FrameError::Decode(_) | FrameError::Encode(_) => EnrolError::Unreadable,
    }
}

/// The face a photograph is about: the largest, if it is whole, large, lit and sharp enough and stands out.
///
/// `size` is the photograph's width and height.
fn choose(faces: &[FaceRead], size: [f32; 2]) -> Result<&FaceRead, EnrolError> {
    let first = faces.first().ok_or(EnrolError::NoFace)?;
    let rivals = faces.iter().filter(|face| face.width_px >= SECOND_FACE * first.width_px).count();
    if rivals > 1 {
        return Err(EnrolError::SeveralFaces(rivals));
    }
    if first.width_px < WIDTH_MIN {
        return Err(EnrolError::TooSmall(first.width_px));
    }
    let [x1, y1, x2, y2] = first.bounds;
    if x1 < 0.0 || y1 < 0.0 || x2 > size[0] || y2 > size[1] {
        return Err(EnrolError::CutOff);
    }
    let FaceQuality { sharpness, brightness, turn } = first.quality;
    // Light before sharpness: what is dark has no edges either, and the light is what the person can change.
    if brightness > *BRIGHTNESS.end() {
        return Err(EnrolError::TooBright(brightness));
    }
    if !BRIGHTNESS.contains(&brightness) {
        return Err(EnrolError::TooDark(brightness));
    }
    if sharpness < SHARPNESS_MIN {
        return Err(EnrolError::Blurred(sharpness));
    }
    // Not by its size: a NaN is refused too.
    if !(-TURNED..=TURNED).contains(&turn) {
        return Err(EnrolError::TurnedAway(turn));
    }
    Ok(first)
}

/// A gallery of stored templates `(person, numbers, model)` for the model in use and its dimension; several of one person are
/// averaged.
///
/// Templates of another model, or damaged ones, are left out and counted in a warning: those people enrol again.
pub fn gallery(
    (ours, dimension): (&str, usize),
    stored: impl IntoIterator<Item = (PersonId, Vec<f32>, String)>,
) -> Gallery {
    let mut shots: BTreeMap<PersonId, Vec<Embedding>> = BTreeMap::new();
    let mut refused = 0usize;
    for (person, values, model) in stored {
        match Embedding::normalised(&values).filter(|it| model == ours && it.dimension() == dimension) {
            Some(embedding) => shots.entry(person).or_default().push(embedding),
            None => refused += 1,
        }
    }
    let mut gallery = Gallery::new(ours, dimension);
    for (person, shots) in &shots {
        let taken = Template::enrol(ours, shots).and_then(|template| gallery.insert(*person, &template));
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

    const SIZE: [f32; 2] = [640.0, 480.0];

    fn face(width_px: f32, sharpness: f32) -> FaceRead {
        FaceRead {
            bounds: [10.0, 10.0, 10.0 + width_px, 10.0 + width_px],
            width_px,
            score: 1.0,
            embedding: along(0),
            liveness: 1.0,
            landmarks: [[0.0; 2]; 5],
            quality: FaceQuality { sharpness, brightness: 120.0, turn: 0.0 },
            gaze: None,
        }
    }

    fn along(axis: usize) -> Embedding {
        let mut numbers = [0f32; 512];
        numbers[axis] = 1.0;
        Embedding::normalised(&numbers).expect("not zero")
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
        let code = |faces: &[FaceRead]| choose(faces, SIZE).err().map(|error| error.code());
        assert_eq!(code(&[face(200.0, 300.0), face(60.0, 300.0)]), None);
        assert_eq!(code(&[]), Some("no_face"));
        assert_eq!(code(&[face(200.0, 300.0), face(150.0, 300.0)]), Some("several_faces"));
        assert_eq!(code(&[face(60.0, 300.0)]), Some("face_too_small"));
        assert_eq!(code(&[face(200.0, 3.0)]), Some("face_blurred"));
        assert_eq!(
            code(&[FaceRead { bounds: [560.0, 10.0, 660.0, 110.0], ..face(100.0, 300.0) }]),
            Some("face_cut_off")
        );
        let lit = |brightness| {
            let quality = FaceQuality { brightness, ..face(200.0, 300.0).quality };
            code(&[FaceRead { quality, ..face(200.0, 300.0) }])
        };
        assert_eq!((lit(44.0), lit(45.0), lit(225.0)), (Some("face_too_dark"), None, None));
        assert_eq!((lit(226.0), lit(f32::NAN)), (Some("face_too_bright"), Some("face_too_dark")));
        let turned = |turn| {
            let quality = FaceQuality { turn, ..face(200.0, 300.0).quality };
            choose(&[FaceRead { quality, ..face(200.0, 300.0) }], SIZE).map(|face| Pose::of(face.quality.turn)).ok()
        };
        assert_eq!(
            (turned(0.08), turned(0.2), turned(-0.2)),
            (Some(Pose::Straight), Some(Pose::Left), Some(Pose::Right))
        );
        assert_eq!((turned(0.36), turned(-0.36), turned(f32::NAN)), (None, None, None));
    }

    #[test]
    fn photographs_are_different_pictures_of_one_person() {
        let near = |second: f32| {
            let mut numbers = [0f32; 512];
            (numbers[0], numbers[1]) = (1.0, second);
            Embedding::normalised(&numbers).expect("not zero")
        };
        let thresholds = crate::models::EmbedderModel::provided().thresholds;
        let code = |shots: &[Embedding]| agree(shots, &thresholds).err().map(|error| error.to_string());
        assert_eq!(code(&[along(0), near(0.3), near(-0.4)]), None);
        let twice = Some("photographs 2 and 3 are one picture; take another".to_owned());
        assert_eq!(code(&[along(0), near(0.3), near(0.3)]), twice);
        let two = Some("photographs 1 and 3 do not show one person".to_owned());
        assert_eq!(code(&[along(0), near(0.3), along(7)]), two);
    }

    #[test]
    fn a_gallery_averages_a_person_and_leaves_other_models_out() {
        let along = |axis: usize| along(axis).values().to_vec();
        let (ann, bob) = (PersonId::from_key("ann"), PersonId::from_key("bob"));
        let stored = [
            (ann, along(0), "ours/1".to_owned()),
            (ann, along(1), "ours/1".to_owned()),
            (bob, along(2), "another/1".to_owned()),
            (bob, vec![1.0; 3], "ours/1".to_owned()),
        ];
        let gallery = gallery(("ours/1", 512), stored);
        assert_eq!(gallery.len(), 1);
        let found = gallery.best(&Embedding::normalised(&along(1)).expect("not zero")).expect("ann is known");
        assert_eq!(found.person, ann);
        assert!((found.cosine - 0.5f32.sqrt()).abs() < 1e-4);
    }
}
