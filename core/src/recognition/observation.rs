//! What the vision pipeline saw: one observation per decision, not per frame.

use super::travel::Travel;
use crate::id::{DeviceId, PersonId, PictureId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something seen by a camera, with the picture that shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Which camera.
    pub camera: DeviceId,
    /// Capture time of the deciding frame, by our clock.
    pub observed_at: Timestamp,
    /// From the deciding frame's arrival to this observation, milliseconds.
    pub latency_ms: u32,
    /// The stored picture.
    pub picture: Option<PictureId>,
    /// What was seen.
    pub seen: Seen,
}

/// The kinds of thing seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Seen {
    /// A number plate, voted over the frames of one track.
    Plate {
        /// The text, province first, e.g. `粤B12345`.
        text: String,
        /// Confidence of the vote, 0–1.
        confidence: f32,
        /// `blue`, `green`, `yellow`, `white` or `black`.
        colour: String,
        /// Frames that agreed.
        votes: u32,
        /// Which way the car was seen to go until then; none where it stood or was seen too briefly.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        travel: Option<Travel>,
        /// Whether it is sure: by the limit of the reader that read it, or because a second reader confirmed it.
        #[serde(default)]
        sure: bool,
    },
    /// A face, decided over the last five frames of one track by the rule of `recognition::face`.
    Face {
        /// Best match of the gallery, with its cosine, where there is a candidate.
        candidate: Option<(PersonId, f32)>,
        /// Whether the rule for opening a door is met.
        accepted: bool,
        /// Width of the face, pixels.
        width_px: u32,
        /// Lowest passive liveness of the agreeing frames, 0–1.
        liveness: f32,
        /// Frames that agreed, of five.
        agreeing: u8,
    },
    /// Motion began (true) or ended.
    Motion {
        /// Whether it began.
        active: bool,
    },
    /// What the camera shows became unusable, or was judged usable.
    View {
        /// `dark`, `covered`, `defocused`, `moved`; empty when nothing is wrong.
        problem: String,
    },
    /// The stream came, stalled or was refused.
    Stream {
        /// Whether frames arrive.
        live: bool,
        /// Why not, as a code: `stalled`, `refused`, `unauthorised`, `undecodable`; empty when live.
        reason: String,
    },
}
