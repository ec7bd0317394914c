//! What recognition found in the newest picture it looked at, for whoever watches that camera: boxes to draw over the video.
//!
//! Nothing is stored and nothing is made while nobody follows. The newest replaces what was not taken yet.

use crate::pipeline::cars::PlateSeen;
use gatehouse_core::id::{DeviceId, PersonId};
use gatehouse_core::recognition::plate::PlatePolicy;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Boxes of one picture; what lies beyond is not drawn.
pub const MOST_BOXES: usize = 16;

/// What a box is around.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A number plate: its text, empty where it was not read, and whether the read is sure.
    Plate {
        /// The text.
        text: String,
        /// Whether this picture alone would do.
        sure: bool,
    },
    /// A face: of whom, where the rule for opening a door is met. Of everyone else the box alone is known.
    Face(Option<PersonId>),
}

/// One box.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxed {
    /// Left, top, width, height in shares of the picture, 0–1.
    pub bounds: [f32; 4],
    /// What it is around.
    pub mark: Mark,
}

/// The boxes of one picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Boxes {
    /// When the picture was taken, as its access unit carries it.
    pub at: Timestamp,
    /// The boxes, at most [`MOST_BOXES`].
    pub boxes: Vec<Boxed>,
}

/// Who follows which camera.
#[derive(Debug, Default)]
pub struct Overlays {
    followed: Mutex<BTreeMap<DeviceId, watch::Sender<Arc<Boxes>>>>,
}

impl Overlays {
    /// Follows a camera's boxes from now on; dropping the receiver ends it.
    pub fn follow(&self, camera: DeviceId) -> watch::Receiver<Arc<Boxes>> {
        let mut followed = self.lock();
        // Those that nobody follows any more go with the next one who comes.
        followed.retain(|id, sender| *id == camera || sender.receiver_count() > 0);
        followed.entry(camera).or_insert_with(|| watch::channel(Arc::default()).0).subscribe()
    }

    /// Whether anyone follows a camera.
    pub fn followed(&self, camera: DeviceId) -> bool {
        self.lock().get(&camera).is_some_and(|sender| sender.receiver_count() > 0)
    }

    /// Shows the boxes of a newer picture.
    pub fn show(&self, camera: DeviceId, mut boxes: Boxes) {
        boxes.boxes.truncate(MOST_BOXES);
        if let Some(sender) = self.lock().get(&camera) {
            sender.send_replace(Arc::new(boxes));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, watch::Sender<Arc<Boxes>>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Corners in frame pixels as shares of the picture; `None` for what lies outside or is no box.
pub fn relative([x1, y1, x2, y2]: [f32; 4], (width, height): (u32, u32)) -> Option<[f32; 4]> {
    let (width, height) = (width as f32, height as f32);
    let (left, right) = (x1.max(0.0) / width, x2.min(width) / width);
    let (top, bottom) = (y1.max(0.0) / height, y2.min(height) / height);
    // Written so that a NaN is no box.
    (right > left && bottom > top).then_some([left, top, right - left, bottom - top])
}

/// The boxes of plates.
pub fn plates<'a>(
    seen: &'a [PlateSeen],
    size: (u32, u32),
    policy: &'a PlatePolicy,
) -> impl Iterator<Item = Boxed> + 'a {
    seen.iter().filter_map(move |plate| {
        let (text, sure) =
            plate.read.as_ref().map_or((String::new(), false), |read| (read.text.clone(), read.said().is_sure(policy)));
        Some(Boxed { bounds: relative(plate.bounds, size)?, mark: Mark::Plate { text, sure } })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_shares_of_the_picture_and_stay_inside() {
        assert_eq!(relative([64.0, 36.0, 128.0, 72.0], (640, 360)), Some([0.1, 0.1, 0.1, 0.1]));
        assert_eq!(relative([-64.0, -9.0, 320.0, 999.0], (640, 360)), Some([0.0, 0.0, 0.5, 1.0]));
        for odd in [[700.0, 0.0, 800.0, 10.0], [5.0, 5.0, 5.0, 9.0], [f32::NAN, 0.0, 9.0, 9.0]] {
            assert!(
                relative(odd, (640, 360)).is_none_or(|bounds| bounds.iter().all(|v| (0.0..=1.0).contains(v))),
                "{odd:?}"
            );
        }
    }

    #[test]
    fn the_newest_replaces_what_was_not_taken_and_nobody_is_sent_nothing() {
        let (overlays, gate, other) = (Overlays::default(), DeviceId::from_key("gate"), DeviceId::from_key("door"));
        assert!(!overlays.followed(gate));
        let mut follower = overlays.follow(gate);
        assert!(overlays.followed(gate) && !overlays.followed(other));
        let face = || Boxed { bounds: [0.0, 0.0, 0.1, 0.1], mark: Mark::Face(None) };
        for second in 1..4 {
            let at = Timestamp::from_second(second).unwrap();
            overlays.show(gate, Boxes { at, boxes: (0..40).map(|_| face()).collect() });
        }
        let newest = follower.borrow_and_update().clone();
        assert_eq!((newest.at.as_second(), newest.boxes.len()), (3, MOST_BOXES));
        drop(follower);
        assert!(!overlays.followed(gate));
    }
}
