//! A site's own models, as its configuration writes them: every field by name, every error with the field and the remedy.

use std::path::PathBuf;

use serde::Deserialize;

use super::chosen::{is_sha256, owned};
use super::{
    Alphabet, Channels, EmbedderModel, FaceThresholds, ModelSpec, Models, ReaderModel, Scaling, Source, TextNetwork,
};

const EMBEDDER: &str = "recognition.face_embedder";
const READER: &str = "recognition.plate_reader";
/// Longest id: it is stored with every template.
const ID_MAX: usize = 80;

/// One number for all three planes, or one each in the order of `channels`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum PerChannel {
    /// For all.
    One(f32),
    /// Each its own.
    Each([f32; 3]),
}

/// `[recognition.face_embedder]`: a network that describes an aligned face.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaceEmbedderConfig {
    /// The ONNX file, relative to the configuration.
    pub file: Option<PathBuf>,
    /// Its sha256.
    pub sha256: Option<String>,
    /// What templates remember it by; another pre-processing is another id.
    pub id: Option<String>,
    /// Its licence, for `gatehouse models`.
    pub licence: Option<String>,
    /// The output that is the description, where the graph has several.
    pub output: Option<String>,
    /// Order of the planes.
    pub channels: Option<Channels>,
    /// Taken off each byte.
    pub mean: Option<PerChannel>,
    /// Divided by.
    pub scale: Option<PerChannel>,
    /// Cosine at which a frame counts for opening a door.
    pub door: Option<f32>,
    /// Cosine at which the guard is shown a candidate.
    pub candidate: Option<f32>,
    /// Least cosine between the photographs of one enrolment.
    pub one_person: Option<f32>,
    /// Cosine from which two photographs are one picture.
    pub one_picture: Option<f32>,
}

/// `[recognition.plate_reader]`: a network that reads a flattened plate by CTC, blank 0.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlateReaderConfig {
    /// The ONNX file, relative to the configuration.
    pub file: Option<PathBuf>,
    /// Its sha256.
    pub sha256: Option<String>,
    /// What it is called.
    pub id: Option<String>,
    /// Its licence, for `gatehouse models`.
    pub licence: Option<String>,
    /// The output that is read, where the graph has several.
    pub output: Option<String>,
    /// Order of the planes.
    pub channels: Option<Channels>,
    /// Taken off each byte.
    pub mean: Option<PerChannel>,
    /// Divided by.
    pub scale: Option<PerChannel>,
    /// Height of the input, pixels.
    pub height: Option<u32>,
    /// Width a plate is brought to, pixels.
    pub width: Option<u32>,
    /// Width of the input; what is beyond the plate is zero.
    pub padded_width: Option<u32>,
    /// The file of its characters, one a line [default: `character` in the ONNX file's metadata].
    pub alphabet: Option<PathBuf>,
    /// That file's sha256.
    pub alphabet_sha256: Option<String>,
    /// Width at which plates neither blue nor green are looked at once more for their mark [default: not].
    pub wide_width: Option<u32>,
    /// A province that it says when it cannot see [default: none].
    pub favours: Option<char>,
    /// Confidence at which a read is sure.
    pub accept: Option<f32>,
    /// Mean confidence three frames of one text need without a sure one.
    pub agree: Option<f32>,
}

/// A field of the configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// Which, whole.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// The fields of one table.
struct Table(&'static str);

impl Table {
    fn wrong(&self, key: &str, problem: impl Into<String>) -> FieldError {
        FieldError { field: format!("{}.{key}", self.0), problem: problem.into() }
    }

    fn need<T: Clone>(&self, key: &str, value: Option<&T>, remedy: &str) -> Result<T, FieldError> {
        value.cloned().ok_or_else(|| self.wrong(key, format!("is missing: {remedy}")))
    }

    /// A threshold: it cannot be another model's.
    fn threshold(&self, key: &str, value: Option<f32>, least: f32) -> Result<f32, FieldError> {
        let remedy =
            "measure it with `gatehouse eval` and write it here: a threshold belongs to the model it was measured with";
        let value = self.need(key, value.as_ref(), remedy)?;
        let whole = value > least && value <= 1.0;
        whole.then_some(value).ok_or_else(|| self.wrong(key, format!("{value} is not above {least} and at most 1")))
    }

    fn sum(&self, key: &str, value: Option<&String>, of: &str) -> Result<String, FieldError> {
        let sum = self.need(key, value, &format!("write what `sha256sum {of}` prints"))?;
        let sum = sum.to_ascii_lowercase();
        is_sha256(&sum).then_some(sum).ok_or_else(|| self.wrong(key, "is no sha256: 64 of 0-9 and a-f"))
    }

    fn text(&self, key: &str, value: Option<&String>, remedy: &str) -> Result<String, FieldError> {
        let text = self.need(key, value, remedy)?;
        let whole = (1..=ID_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        whole.then_some(text).ok_or_else(|| self.wrong(key, format!("must be 1 to {ID_MAX} characters: {remedy}")))
    }

    fn path(&self, key: &str, value: Option<&PathBuf>, remedy: &str) -> Result<String, FieldError> {
        let path = self.need(key, value, remedy)?;
        path.to_str().map(str::to_owned).ok_or_else(|| self.wrong(key, "must be a name in UTF-8"))
    }

    fn scaling(
        &self,
        channels: Option<&Channels>,
        mean: Option<&PerChannel>,
        scale: Option<&PerChannel>,
    ) -> Result<Scaling, FieldError> {
        let each = |value| match value {
            PerChannel::One(value) => [value; 3],
            PerChannel::Each(values) => values,
        };
        let channels = self.need("channels", channels, "\"rgb\" or \"bgr\", as the model was trained")?;
        let mean = each(self.need("mean", mean, "what is taken off each byte of 0-255, e.g. 127.5")?);
        let scale = each(self.need("scale", scale, "what the difference is divided by, e.g. 127.5")?);
        if !mean.iter().all(|value| value.is_finite()) {
            return Err(self.wrong("mean", "must be finite numbers"));
        }
        if !scale.iter().all(|value| value.is_finite() && value.abs() > f32::EPSILON) {
            return Err(self.wrong("scale", "must be finite numbers and not zero"));
        }
        Ok(Scaling { channels, mean, scale })
    }

    fn pixels(&self, key: &str, value: Option<u32>, most: u32) -> Result<u32, FieldError> {
        let pixels = self.need(key, value.as_ref(), "in pixels, as the model was trained")?;
        let whole = (8..=most).contains(&pixels);
        whole.then_some(pixels).ok_or_else(|| self.wrong(key, format!("{pixels} is not from 8 to {most} pixels")))
    }

    /// The model's file, id and licence. An id that set-up's model has would let its templates match.
    fn spec(&self, role: &'static str, entry: Entry<'_>, provided: &ModelSpec) -> Result<ModelSpec, FieldError> {
        let file = self.path("file", entry.file, "name the ONNX file")?;
        let sha256 = self.sum("sha256", entry.sha256, &file)?;
        let id = self.text("id", entry.id, "what results remember it by, e.g. \"w600k_r50/1\"")?;
        if id == provided.id {
            let problem = format!("{id:?} is the model that comes with the program: give this one another id");
            return Err(self.wrong("id", problem));
        }
        let licence = self.text("licence", entry.licence, "an SPDX id, or a word of your own")?;
        Ok(ModelSpec {
            role,
            id: owned(&id),
            file: owned(&file),
            sha256: owned(&sha256),
            licence: owned(&licence),
            source: Source::Configured { table: self.0, file: "file", sha256: "sha256" },
            inputs: &[],
            outputs: &[],
            output: entry.output.map(|name| owned(name)),
        })
    }
}

/// What every table has.
struct Entry<'c> {
    file: Option<&'c PathBuf>,
    sha256: Option<&'c String>,
    id: Option<&'c String>,
    licence: Option<&'c String>,
    output: Option<&'c String>,
}

impl FaceEmbedderConfig {
    /// The model it describes; the files are not looked at yet.
    pub fn model(&self) -> Result<EmbedderModel, FieldError> {
        let table = Table(EMBEDDER);
        let Self { file, sha256, id, licence, output, .. } = self;
        let entry = Entry {
            file: file.as_ref(),
            sha256: sha256.as_ref(),
            id: id.as_ref(),
            licence: licence.as_ref(),
            output: output.as_ref(),
        };
        let provided = EmbedderModel::provided().spec;
        let spec = table.spec(provided.role, entry, &provided)?;
        let scaling = table.scaling(self.channels.as_ref(), self.mean.as_ref(), self.scale.as_ref())?;
        let thresholds = FaceThresholds {
            door: table.threshold("door", self.door, 0.0)?,
            candidate: table.threshold("candidate", self.candidate, 0.0)?,
            one_person: table.threshold("one_person", self.one_person, -1.0)?,
            one_picture: table.threshold("one_picture", self.one_picture, -1.0)?,
        };
        if thresholds.candidate > thresholds.door {
            let problem = format!(
                "{} is above door, {}: who opens a door is a candidate first",
                thresholds.candidate, thresholds.door
            );
            return Err(table.wrong("candidate", problem));
        }
        if thresholds.one_person >= thresholds.one_picture {
            let problem = format!(
                "{} is not below one_picture, {}: no enrolment could pass",
                thresholds.one_person, thresholds.one_picture
            );
            return Err(table.wrong("one_person", problem));
        }
        Ok(EmbedderModel { spec, scaling, thresholds })
    }
}

impl PlateReaderConfig {
    /// The model it describes; the files are not looked at yet.
    pub fn model(&self) -> Result<ReaderModel, FieldError> {
        let table = Table(READER);
        let Self { file, sha256, id, licence, output, .. } = self;
        let entry = Entry {
            file: file.as_ref(),
            sha256: sha256.as_ref(),
            id: id.as_ref(),
            licence: licence.as_ref(),
            output: output.as_ref(),
        };
        let provided = ReaderModel::provided().network.spec;
        let spec = table.spec(provided.role, entry, &provided)?;
        let scaling = table.scaling(self.channels.as_ref(), self.mean.as_ref(), self.scale.as_ref())?;
        let height = table.pixels("height", self.height, 256)?;
        let padded_width = table.pixels("padded_width", self.padded_width, 2048)?;
        let width = table.pixels("width", self.width, 2048)?;
        let wide_width = self.wide_width.map(|wide| table.pixels("wide_width", Some(wide), 2048)).transpose()?;
        for (key, value) in [("width", Some(width)), ("wide_width", wide_width)] {
            if let Some(value) = value.filter(|value| *value > padded_width) {
                return Err(table.wrong(key, format!("{value} is above padded_width, {padded_width}")));
            }
        }
        let alphabet = self.alphabet(&table, &spec)?;
        let (accept, agree) =
            (table.threshold("accept", self.accept, 0.0)?, table.threshold("agree", self.agree, 0.0)?);
        if agree > accept {
            let problem =
                format!("{agree} is above accept, {accept}: one sure read would count less than three unsure ones");
            return Err(table.wrong("agree", problem));
        }
        let network = TextNetwork { spec, alphabet, scaling, height, width, padded_width };
        Ok(ReaderModel { network, wide_width, favours: self.favours, accept, agree })
    }

    fn alphabet(&self, table: &Table, spec: &ModelSpec) -> Result<Alphabet, FieldError> {
        let Some(file) = &self.alphabet else {
            return match self.alphabet_sha256 {
                Some(_) => {
                    Err(table.wrong("alphabet", "is missing beside alphabet_sha256: name the file, or leave out both"))
                }
                None => Ok(Alphabet::Metadata("character")),
            };
        };
        let file = table.path("alphabet", Some(file), "name the file")?;
        let sha256 = table.sum("alphabet_sha256", self.alphabet_sha256.as_ref(), &file)?;
        Ok(Alphabet::File(Box::new(ModelSpec {
            role: super::PLATE_ALPHABET.role,
            id: owned(&format!("{} alphabet", spec.id)),
            file: owned(&file),
            sha256: owned(&sha256),
            source: Source::Configured { table: READER, file: "alphabet", sha256: "alphabet_sha256" },
            output: None,
            ..spec.clone()
        })))
    }
}

impl Models {
    /// The models of a configuration; what it leaves out is what set-up brings.
    pub fn configured(
        face_embedder: Option<&FaceEmbedderConfig>,
        plate_reader: Option<&PlateReaderConfig>,
        second_reader: bool,
    ) -> Result<Self, FieldError> {
        let face_embedder = face_embedder.map_or_else(|| Ok(EmbedderModel::provided()), FaceEmbedderConfig::model)?;
        let plate_reader = plate_reader.map_or_else(|| Ok(ReaderModel::provided()), PlateReaderConfig::model)?;
        Ok(Self { face_embedder, plate_reader, second_reader: second_reader.then(TextNetwork::second) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedder() -> FaceEmbedderConfig {
        FaceEmbedderConfig {
            file: Some("/models/own.onnx".into()),
            sha256: Some("AB".repeat(32)),
            id: Some("own/1".into()),
            licence: Some("MIT".into()),
            output: None,
            channels: Some(Channels::Rgb),
            mean: Some(PerChannel::One(127.5)),
            scale: Some(PerChannel::Each([127.5, 128.0, 1.0])),
            door: Some(0.6),
            candidate: Some(0.5),
            one_person: Some(0.3),
            one_picture: Some(0.99),
        }
    }

    fn reader() -> PlateReaderConfig {
        let FaceEmbedderConfig { file, sha256, id, licence, output, channels, mean, scale, .. } = embedder();
        PlateReaderConfig {
            file,
            sha256: sha256.clone(),
            id,
            licence,
            output,
            channels,
            mean,
            scale,
            height: Some(48),
            width: Some(160),
            padded_width: Some(320),
            alphabet: Some("/models/own.txt".into()),
            alphabet_sha256: sha256,
            wide_width: None,
            favours: None,
            accept: Some(0.8),
            agree: Some(0.6),
        }
    }

    #[test]
    fn a_whole_entry_is_a_model_with_its_own_thresholds() {
        let models = Models::configured(Some(&embedder()), Some(&reader()), true).expect("whole");
        assert_eq!(models.face_policy().open, 0.6);
        assert_eq!((models.plate_policy().accept, models.plate_policy().agree_confidence), (0.8, 0.6));
        assert_eq!(models.face_embedder.spec.sha256, "ab".repeat(32), "sums are compared in lower case");
        assert_eq!(models.face_embedder.scaling.scale, [127.5, 128.0, 1.0]);
        assert_eq!(models.all().count(), 10);
        assert!(models.prepared(&models.face_embedder.spec).is_some_and(|text| text.contains("RGB")));
        assert_eq!(Models::configured(None, None, false), Ok(Models::default()));
    }

    #[test]
    fn what_is_missing_or_wrong_in_an_embedder_is_named_with_the_remedy() {
        let check = |change: fn(&mut FaceEmbedderConfig), field: &str, remedy: &str| {
            let mut config = embedder();
            change(&mut config);
            let error = config.model().expect_err(field);
            assert_eq!(error.field, format!("recognition.face_embedder.{field}"));
            assert!(error.problem.contains(remedy), "{error}");
        };
        check(|c| c.file = None, "file", "name the ONNX file");
        check(|c| c.sha256 = None, "sha256", "sha256sum /models/own.onnx");
        check(|c| c.sha256 = Some("abc".into()), "sha256", "64 of");
        check(|c| c.id = None, "id", "remember");
        check(|c| c.id = Some("fr_feature/0.0.1".into()), "id", "another id");
        check(|c| c.licence = Some(String::new()), "licence", "SPDX");
        check(|c| c.channels = None, "channels", "rgb");
        check(|c| c.mean = None, "mean", "127.5");
        check(|c| c.scale = Some(PerChannel::One(0.0)), "scale", "not zero");
        check(|c| c.door = None, "door", "gatehouse eval");
        check(|c| c.candidate = None, "candidate", "gatehouse eval");
        check(|c| c.one_person = None, "one_person", "gatehouse eval");
        check(|c| c.one_picture = None, "one_picture", "gatehouse eval");
        check(|c| c.door = Some(f32::NAN), "door", "at most 1");
        check(|c| c.candidate = Some(0.7), "candidate", "above door");
        check(|c| c.one_person = Some(0.99), "one_person", "one_picture");
    }

    #[test]
    fn what_is_missing_or_wrong_in_a_reader_is_named_with_the_remedy() {
        let check = |change: fn(&mut PlateReaderConfig), field: &str, remedy: &str| {
            let mut config = reader();
            change(&mut config);
            let error = config.model().expect_err(field);
            assert_eq!(error.field, format!("recognition.plate_reader.{field}"));
            assert!(error.problem.contains(remedy), "{error}");
        };
        check(|c| c.height = None, "height", "pixels");
        check(|c| c.width = Some(400), "width", "padded_width");
        check(|c| c.wide_width = Some(400), "wide_width", "padded_width");
        check(|c| c.padded_width = Some(9000), "padded_width", "2048");
        check(|c| c.alphabet_sha256 = None, "alphabet_sha256", "sha256sum /models/own.txt");
        check(|c| c.alphabet = None, "alphabet", "leave out both");
        check(|c| c.accept = None, "accept", "gatehouse eval");
        check(|c| c.agree = None, "agree", "gatehouse eval");
        check(|c| c.agree = Some(0.9), "agree", "above accept");
        check(|c| c.accept = Some(1.2), "accept", "at most 1");
        let mut config = reader();
        (config.alphabet, config.alphabet_sha256) = (None, None);
        assert_eq!(config.model().map(|model| model.network.alphabet), Ok(Alphabet::Metadata("character")));
    }
}
