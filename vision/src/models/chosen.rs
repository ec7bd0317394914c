//! The models that may be another one's: the face embedder and the plate reader, with what belongs to each of them.
//!
//! Pre-processing and thresholds were measured with one network; with another they mean something else. So they are one entry,
//! and what set-up brings is the default of the same type.

use std::borrow::Cow;

use gatehouse_core::recognition::face::FacePolicy;
use gatehouse_core::recognition::plate::PlatePolicy;
use serde::Deserialize;

use crate::pipeline::Policies;

use super::{
    FACE_DETECT, FACE_EYE, FACE_FEATURE, FACE_LANDMARK, FACE_LIVENESS, FACE_POSE, ModelSpec, PLATE_ALPHABET,
    PLATE_DETECT, PLATE_READ, SECOND_READ,
};

/// Order of a network's input planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// How bytes become a network's numbers: (x − mean) / scale, each plane by its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// Order of the planes.
    pub channels: Channels,
    /// Taken off, by plane, 0–255.
    pub mean: [f32; 3],
    /// Divided by, by plane.
    pub scale: [f32; 3],
}

impl Scaling {
    /// One mean and scale for all planes.
    pub const fn even(channels: Channels, mean: f32, scale: f32) -> Self {
        Self { channels, mean: [mean; 3], scale: [scale; 3] }
    }

    /// Of each plane: which byte of an RGB pixel it takes, and the number for each byte.
    pub(crate) fn planes(&self) -> [(usize, [f32; 256]); 3] {
        std::array::from_fn(|plane| {
            let byte = match self.channels {
                Channels::Rgb => plane,
                Channels::Bgr => 2 - plane,
            };
            (byte, std::array::from_fn(|v| (v as f32 - self.mean[plane]) / self.scale[plane]))
        })
    }
}

impl std::fmt::Display for Scaling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one_or_three = |values: [f32; 3]| match values {
            [a, b, c] if a == b && b == c => a.to_string(),
            [a, b, c] => format!("({a}, {b}, {c})"),
        };
        let order = if self.channels == Channels::Rgb { "RGB" } else { "BGR" };
        write!(f, "{order} (x-{})/{}", one_or_three(self.mean), one_or_three(self.scale))
    }
}

/// Cosines by which faces of one embedder are judged, −1…1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceThresholds {
    /// At or above it a frame counts for opening a door.
    pub door: f32,
    /// At or above it the guard is shown a candidate.
    pub candidate: f32,
    /// Least between the photographs of one enrolment: below it they show two people.
    pub one_person: f32,
    /// From here two photographs are one picture sent twice.
    pub one_picture: f32,
}

impl FaceThresholds {
    /// What a door asks of a face.
    pub fn policy(&self) -> FacePolicy {
        FacePolicy { open: self.door, candidate: self.candidate, ..FacePolicy::default() }
    }
}

/// A network that describes an aligned face of 112 × 112, and what belongs to it. Its dimension is the graph's.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedderModel {
    /// File and id.
    pub spec: ModelSpec,
    /// What it wants to see.
    pub scaling: Scaling,
    /// How its cosines are judged.
    pub thresholds: FaceThresholds,
}

/// Where a reader's characters are listed: class i is line i − 1, blank 0; a space may follow the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alphabet {
    /// A text file, one character a line.
    File(Box<ModelSpec>),
    /// The same in the ONNX file's metadata, under this key.
    Metadata(&'static str),
}

/// A network that reads a strip of characters by CTC.
#[derive(Debug, Clone, PartialEq)]
pub struct TextNetwork {
    /// File and id.
    pub spec: ModelSpec,
    /// Its characters.
    pub alphabet: Alphabet,
    /// What it wants to see.
    pub scaling: Scaling,
    /// Height of its input, pixels.
    pub height: u32,
    /// Width a plate is brought to, pixels.
    pub width: u32,
    /// Width of its input: what is beyond the plate is zero.
    pub padded_width: u32,
}

/// A network that reads plates, and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReaderModel {
    /// The network.
    pub network: TextNetwork,
    /// Width at which plates neither blue nor green are looked at once more for 学, 警 and the like, where it reads them better
    /// so.
    pub wide_width: Option<u32>,
    /// A province that it says when it cannot see, because it was trained there: counts a tenth.
    pub favours: Option<char>,
    /// Confidence at or above which a read is sure.
    pub accept: f32,
    /// Mean confidence that three frames of one text need without a sure one.
    pub agree: f32,
}

/// The models in use that a site may choose; the others are the constants of this module.
#[derive(Debug, Clone, PartialEq)]
pub struct Models {
    /// Describes faces.
    pub face_embedder: EmbedderModel,
    /// Reads plates.
    pub plate_reader: ReaderModel,
    /// Is asked about reads that are not sure, where the site wants that.
    pub second_reader: Option<TextNetwork>,
}

impl Default for Models {
    fn default() -> Self {
        Self { face_embedder: EmbedderModel::provided(), plate_reader: ReaderModel::provided(), second_reader: None }
    }
}

impl EmbedderModel {
    /// What set-up brings. No stranger passed 0.45 in stills, one came to 0.41 on video; portraits of two people stayed below
    /// 0.15, of one above 0.45.
    pub fn provided() -> Self {
        Self {
            spec: FACE_FEATURE,
            scaling: Scaling::even(Channels::Bgr, 127.0, 128.0),
            thresholds: FaceThresholds { door: 0.50, candidate: 0.40, one_person: 0.35, one_picture: 0.999 },
        }
    }
}

impl TextNetwork {
    /// The second reader that set-up brings when it is wanted. Its width is that of a flattened plate at its height.
    pub fn second() -> Self {
        Self {
            spec: SECOND_READ,
            alphabet: Alphabet::Metadata("character"),
            scaling: Scaling::even(Channels::Bgr, 127.5, 127.5),
            height: 48,
            width: 188,
            padded_width: 320,
        }
    }

    /// Its files.
    fn specs(&self) -> impl Iterator<Item = &ModelSpec> {
        let listed = match &self.alphabet {
            Alphabet::File(spec) => Some(&**spec),
            Alphabet::Metadata(_) => None,
        };
        std::iter::once(&self.spec).chain(listed)
    }
}

impl ReaderModel {
    /// What set-up brings. Read at 100 wide and padded to 320 it reads 99.3 % of plates, unpadded 88 %, padded to 160 61 %. It was
    /// trained on a collection of one province.
    pub fn provided() -> Self {
        let PlatePolicy { accept, agree_confidence, .. } = PlatePolicy::default();
        Self {
            network: TextNetwork {
                spec: PLATE_READ,
                alphabet: Alphabet::File(Box::new(PLATE_ALPHABET)),
                scaling: Scaling::even(Channels::Bgr, 127.5, 127.5),
                height: 32,
                width: 100,
                padded_width: 320,
            },
            wide_width: Some(200),
            favours: Some('皖'),
            accept,
            agree: agree_confidence,
        }
    }
}

impl Models {
    /// Every file in use.
    pub fn all(&self) -> impl Iterator<Item = &ModelSpec> {
        [&FACE_DETECT, &FACE_LANDMARK, &self.face_embedder.spec, &FACE_LIVENESS, &FACE_POSE, &FACE_EYE, &PLATE_DETECT]
            .into_iter()
            .chain(self.plate_reader.network.specs())
            .chain(self.second_reader.iter().flat_map(TextNetwork::specs))
    }

    /// When what these models say is acted on.
    pub fn policies(&self) -> Policies {
        Policies { face: self.face_policy(), plate: self.plate_policy() }
    }

    /// What a door asks of a face, by the embedder's cosines.
    pub fn face_policy(&self) -> FacePolicy {
        self.face_embedder.thresholds.policy()
    }

    /// When a read is good enough to act on, by the reader's confidences.
    pub fn plate_policy(&self) -> PlatePolicy {
        let ReaderModel { accept, agree, .. } = self.plate_reader;
        PlatePolicy { accept, agree_confidence: agree, ..PlatePolicy::default() }
    }

    /// The whole of what a model is shown, for people, where this module decides it.
    pub fn prepared(&self, spec: &ModelSpec) -> Option<String> {
        let readers = [Some(&self.plate_reader.network), self.second_reader.as_ref()];
        if *spec == self.face_embedder.spec {
            return Some(format!("1x3x112x112 {}, aligned", self.face_embedder.scaling));
        }
        let reader = readers.into_iter().flatten().find(|reader| reader.spec == *spec)?;
        let TextNetwork { scaling, height, width, padded_width, .. } = reader;
        Some(format!("Bx3x{height}x{padded_width} {scaling}, plate {width} wide"))
    }

    /// The thresholds that belong to a model, for people.
    pub fn thresholds(&self, spec: &ModelSpec) -> Option<String> {
        if *spec == self.face_embedder.spec {
            let FaceThresholds { door, candidate, one_person, one_picture } = self.face_embedder.thresholds;
            let said =
                format!("door {door}, candidate {candidate}, one_person {one_person}, one_picture {one_picture}");
            return Some(said);
        }
        let reader = &self.plate_reader;
        (reader.network.spec == *spec).then(|| format!("accept {}, agree {}", reader.accept, reader.agree))
    }
}

/// Whether a text is a sha256, lower-case hex.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A text of the configuration as a spec holds it.
pub(super) fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_take_their_bytes_in_order_and_are_scaled_each_by_its_own() {
        let scaling = Scaling { channels: Channels::Bgr, mean: [0.0, 127.5, 100.0], scale: [1.0, 127.5, 50.0] };
        let planes = scaling.planes();
        assert_eq!(planes.map(|(byte, _)| byte), [2, 1, 0]);
        assert_eq!(planes.map(|(_, numbers)| numbers[255]), [255.0, 1.0, 3.1]);
        assert_eq!(scaling.to_string(), "BGR (x-(0, 127.5, 100))/(1, 127.5, 50)");
        assert_eq!(Scaling::even(Channels::Rgb, 127.0, 128.0).to_string(), "RGB (x-127)/128");
    }

    #[test]
    fn the_policies_of_what_set_up_brings_are_the_measured_ones() {
        let models = Models::default();
        assert_eq!(models.face_policy(), FacePolicy::default());
        assert_eq!(models.plate_policy(), PlatePolicy::default());
        let all: Vec<_> = models.all().map(|spec| models.thresholds(spec).is_some()).collect();
        assert_eq!(all.iter().filter(|known| **known).count(), 2);
    }
}
