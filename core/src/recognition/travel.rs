//! Which way a car goes before its camera, from the boxes of its plate frame by frame.
//!
//! ```text
//!  boxes ─▶ progress since the anchor: growth, helped by the way down the picture
//!           two frames in a row beyond one unit ─▶ towards, or away; the anchor follows the farthest box that way
//! ```
//! Shaking boxes stay within the unit: a car that stands has no way. One that turns back is taken at its word after
//! another unit the other way.

use serde::{Deserialize, Serialize};

/// Growth of a plate that is one unit of progress: shaking boxes vary by half of that.
const GROWN: f32 = 1.15;
/// Plate heights down the picture that are one unit. It counts as one at most: seen from below, a car that comes rises.
const FALLEN: f32 = 1.5;
/// Frames in a row that must agree: a box that took half a plate is alone.
const FRAMES: u8 = 2;

/// Which way a car was seen to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Travel {
    /// It came nearer to the camera.
    Towards,
    /// It drove off.
    Away,
}

impl Travel {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Travel::Towards => "towards",
            Travel::Away => "away",
        }
    }
}

/// Which cars are a camera's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moves {
    /// Every one.
    #[default]
    Any,
    /// Those that come nearer, or stand.
    Towards,
    /// Those that drive off, or stand.
    Away,
}

impl Moves {
    /// Whether every car is.
    pub fn is_any(&self) -> bool {
        *self == Moves::Any
    }

    /// Whether a car that goes this way is not.
    pub fn leaves_out(self, travel: Travel) -> bool {
        match self {
            Moves::Any => false,
            Moves::Towards => travel == Travel::Away,
            Moves::Away => travel == Travel::Towards,
        }
    }
}

/// One car's way so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heading {
    /// The farthest box the way it goes; the first while it goes none.
    anchor: Option<[f32; 4]>,
    /// Which way the last frames are beyond the unit, and how many.
    beyond: Option<(Travel, u8)>,
    travel: Option<Travel>,
}

impl Heading {
    /// Takes the plate's box of a frame: x1, y1, x2, y2 in pixels, y down.
    pub fn see(&mut self, bounds: [f32; 4]) {
        let Some(anchor) = self.anchor else {
            self.anchor = Some(bounds);
            return;
        };
        let progress = progress(anchor, bounds);
        let way = if progress > 0.0 { Travel::Towards } else { Travel::Away };
        if self.travel == Some(way) {
            self.anchor = Some(bounds);
            self.beyond = None;
        } else if progress.abs() >= 1.0 {
            let frames = self.beyond.filter(|(beyond, _)| *beyond == way).map_or(1, |(_, frames)| frames + 1);
            self.beyond = Some((way, frames));
            if frames >= FRAMES {
                *self = Self { anchor: Some(bounds), beyond: None, travel: Some(way) };
            }
        } else {
            self.beyond = None;
        }
    }

    /// Whether no frame so far hints at a way.
    pub fn is_still(&self) -> bool {
        self.travel.is_none() && self.beyond.is_none()
    }

    /// Which way it goes, as far as its frames show one.
    pub fn travel(&self) -> Option<Travel> {
        self.travel
    }
}

/// How much nearer the second box is than the first, in units; negative farther, 0 where a box is none.
fn progress(from: [f32; 4], to: [f32; 4]) -> f32 {
    let size = |b: [f32; 4]| (b[2] - b[0], b[3] - b[1]);
    let ((from_w, from_h), (to_w, to_h)) = (size(from), size(to));
    let down = (to[1] + to[3] - from[1] - from[3]) / (from_h + to_h) / FALLEN;
    let progress = (to_w / from_w).ln() / GROWN.ln() + down.clamp(-1.0, 1.0);
    if progress.is_finite() { progress } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A plate as a camera 2.4 m up sees it at so many metres: 100 pixels wide at six.
    fn plate(metres: f32) -> [f32; 4] {
        let (width, y) = (600.0 / metres, 100.0 + 1_000.0 * 1.9 / metres);
        [400.0 - width / 2.0, y, 400.0 + width / 2.0, y + width / 3.1]
    }

    /// The same, shaken as boxes of one standing plate are: `way` −1 to 1 for each side.
    fn shaken(metres: f32, way: [f32; 2]) -> [f32; 4] {
        let [x1, y1, x2, y2] = plate(metres);
        let (w, h) = (x2 - x1, y2 - y1);
        let (wider, lower) = (0.02 * w * way[0], 0.12 * h * way[1]);
        [x1 - wider, y1 + lower, x2 + wider, y2 + lower]
    }

    fn way(boxes: impl IntoIterator<Item = [f32; 4]>) -> Option<Travel> {
        let mut heading = Heading::default();
        boxes.into_iter().for_each(|bounds| heading.see(bounds));
        heading.travel()
    }

    fn shake(n: usize) -> [f32; 2] {
        [[1.0, -1.0, 0.3, -0.6, 0.9][n % 5], [-0.8, 1.0, -1.0, 0.2][n % 4]]
    }

    #[test]
    fn a_car_that_comes_comes_and_one_that_leaves_leaves_also_shaken() {
        let come = |n: usize| shaken(20.0 - 1.2 * n as f32, shake(n));
        let leave = |n: usize| shaken(5.0 + 1.2 * n as f32, shake(n));
        assert_eq!(way((0..10).map(come)), Some(Travel::Towards));
        assert_eq!(way((0..10).map(leave)), Some(Travel::Away));
        // At a walk it takes a few frames more.
        assert_eq!(way((0..10).map(|n| shaken(8.0 - 0.25 * n as f32, shake(n)))), Some(Travel::Towards));
        assert_eq!(way((0..14).map(|n| shaken(6.0 + 0.25 * n as f32, shake(n)))), Some(Travel::Away));
    }

    #[test]
    fn a_car_that_stands_keeps_the_way_it_came_and_one_that_turns_back_has_another() {
        let arrived = || (0..8).map(|n| plate(14.0 - n as f32));
        let standing = || (0..600).map(|n| shaken(7.0, shake(n)));
        assert_eq!(way(standing()), None);
        let mut hint = Heading::default();
        [plate(7.0), plate(4.0)].into_iter().for_each(|bounds| hint.see(bounds));
        assert!(hint.travel().is_none() && !hint.is_still(), "one frame is a hint");
        assert_eq!(way(arrived().chain(standing())), Some(Travel::Towards));
        let back = (0..8).map(|n| plate(7.0 + n as f32));
        assert_eq!(way(arrived().chain(standing()).chain(back)), Some(Travel::Away));
    }

    #[test]
    fn a_single_box_of_half_a_plate_and_a_box_that_is_none_turn_nothing_round() {
        let [x1, y1, x2, y2] = plate(9.0);
        let half = [x1, y1, (x1 + x2) / 2.0, y2];
        let coming = || (0..5).map(|n| plate(14.0 - n as f32));
        assert_eq!(way(coming().chain([half]).chain((0..3).map(|n| plate(9.0 - n as f32)))), Some(Travel::Towards));
        assert_eq!(way([plate(9.0), [f32::NAN; 4], [1.0, 1.0, 1.0, 1.0], [f32::NAN; 4], plate(9.0)]), None);
    }

    #[test]
    fn seen_from_below_a_car_that_comes_rises_and_grows() {
        let rising = |n: usize| {
            let metres = 16.0 - n as f32;
            let (width, y) = (600.0 / metres, 300.0 - 200.0 / metres);
            [400.0, y, 400.0 + width, y + width / 3.1]
        };
        assert_eq!(way((0..12).map(rising)), Some(Travel::Towards));
        assert_eq!(way((0..12).rev().map(rising)), Some(Travel::Away));
    }

    #[test]
    fn what_is_a_cameras_business() {
        assert!(!Moves::Any.leaves_out(Travel::Away) && !Moves::Any.leaves_out(Travel::Towards));
        assert!(Moves::Towards.leaves_out(Travel::Away) && !Moves::Towards.leaves_out(Travel::Towards));
        assert!(Moves::Away.leaves_out(Travel::Towards) && !Moves::Away.leaves_out(Travel::Away));
    }

    proptest! {
        #[test]
        fn a_car_that_stands_goes_no_way_however_its_box_shakes(
            metres in 3.0f32..25.0, ways in proptest::collection::vec([-1.0f32..1.0, -1.0f32..1.0], 0..200),
        ) {
            prop_assert_eq!(way(ways.into_iter().map(|way| shaken(metres, way))), None);
        }

        #[test]
        fn the_way_back_is_the_other_way(steps in proptest::collection::vec(0.0f32..1.5, 2..30)) {
            let mut metres = vec![4.0];
            for step in steps { metres.push(metres.last().unwrap() + step); }
            let there = way(metres.iter().map(|at| plate(*at)));
            let back = way(metres.iter().rev().map(|at| plate(*at)));
            prop_assert_ne!(there, Some(Travel::Towards));
            prop_assert_ne!(back, Some(Travel::Away));
        }
    }
}
