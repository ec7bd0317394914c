//! A live picture source and its listeners.
//!
//! The source keeps the running group of pictures, so that who joins starts with a key frame at once. Every listener has a
//! bounded queue: when it is full, the listener loses pictures up to the next key frame and a counter says so.

use super::rtp::CLOCK_HZ;
use super::sound::{SoundCoding, SoundFrame};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};

/// Pictures waiting for one listener: a second of 25 fps and the group of pictures it started with.
const QUEUE: usize = 64;
/// Longest group of pictures kept for those who join; beyond it they wait for the next key frame.
const GROUP_MAX: usize = 60;
/// Listeners one source carries.
const LISTENERS_MAX: usize = 64;

/// One picture: the NAL units of one access unit.
#[derive(Debug, Clone)]
pub struct AccessUnit {
    /// NAL units without start codes or lengths, parameter sets excluded.
    pub nals: Vec<Bytes>,
    /// True for an instantaneous decoder refresh: decoding may start here.
    pub key: bool,
    /// Presentation time in units of 1/90 000 s on the source's own clock.
    pub pts: u64,
    /// When the picture was taken.
    pub captured: SystemTime,
}

/// The parameter sets of a stream: of H.264, or with a video parameter set of H.265.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSets {
    /// The video parameter set of H.265, NAL header included.
    pub vps: Option<Bytes>,
    /// The sequence parameter set, NAL header included.
    pub sps: Bytes,
    /// The picture parameter set, NAL header included.
    pub pps: Bytes,
}

impl ParameterSets {
    /// Takes both sets of H.264, if they have the length and type they must have.
    pub fn new(sps: Bytes, pps: Bytes) -> Option<Self> {
        let fits = |nal: &Bytes, kind: u8| nal.len() <= 256 && nal.first().is_some_and(|b| b & 0x1f == kind);
        (sps.len() >= 4 && fits(&sps, 7) && fits(&pps, 8)).then_some(Self { vps: None, sps, pps })
    }

    /// The same of H.265.
    pub fn h265(vps: Bytes, sps: Bytes, pps: Bytes) -> Option<Self> {
        let fits = |nal: &Bytes, kind: u8| (3..=256).contains(&nal.len()) && nal[0] >> 1 & 0x3f == kind;
        (fits(&vps, 32) && fits(&sps, 33) && fits(&pps, 34)).then_some(Self { vps: Some(vps), sps, pps })
    }

    /// All of them, in the order a decoder needs them.
    pub fn all(&self) -> impl Iterator<Item = &Bytes> {
        self.vps.iter().chain([&self.sps, &self.pps])
    }

    /// The six hexadecimal digits of `profile-level-id`.
    pub fn profile_level_id(&self) -> String {
        format!("{:02X}{:02X}{:02X}", self.sps[1], self.sps[2], self.sps[3])
    }
}

/// What goes wrong on the way from a camera to who listens; by default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Every n-th packet is lost; 0: none.
    pub lose_every: u32,
    /// Every n-th packet has wrong bits; 0: none.
    pub spoil_every: u32,
    /// The camera's clock as its sender reports tell it, minus the right time, seconds.
    pub clock_off_s: i32,
    /// Pause before each picture: what waits too long gives way, up to the next key frame.
    pub pause: Duration,
}

/// A source of live pictures, and of sound where it has a microphone, shared by its publisher and any number of listeners.
#[derive(Debug)]
pub struct LiveSource {
    name: String,
    fps: f32,
    sound: Option<SoundCoding>,
    faults: watch::Sender<Faults>,
    sets: watch::Sender<Option<ParameterSets>>,
    state: Mutex<State>,
    dropped: AtomicU64,
    published: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    group: Vec<Arc<AccessUnit>>,
    listeners: Vec<Tap>,
    sounds: Vec<mpsc::Sender<Arc<SoundFrame>>>,
}

#[derive(Debug)]
struct Tap {
    queue: mpsc::Sender<Arc<AccessUnit>>,
    waits_for_key: bool,
}

/// One listener's end; dropping it leaves the source.
#[derive(Debug)]
pub struct Listener {
    queue: mpsc::Receiver<Arc<AccessUnit>>,
    first_pts: Option<u64>,
}

impl Listener {
    /// The next picture; `None` once the source is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<AccessUnit>> {
        self.queue.recv().await
    }

    /// Presentation time of the first picture, if it is already waiting.
    pub fn first_pts(&self) -> Option<u64> {
        self.first_pts
    }
}

impl LiveSource {
    /// A source nobody publishes to yet; `fps` is what the SDP announces.
    pub fn new(name: impl Into<String>, fps: f32) -> Arc<Self> {
        Self::with_sound(name, fps, None)
    }

    /// The same, with a second track where there is sound.
    pub fn with_sound(name: impl Into<String>, fps: f32, sound: Option<SoundCoding>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            fps,
            sound,
            faults: watch::Sender::new(Faults::default()),
            sets: watch::Sender::new(None),
            state: Mutex::default(),
            dropped: AtomicU64::new(0),
            published: AtomicU64::new(0),
        })
    }

    /// The name shown in the session description.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Pictures a second, as announced.
    pub fn fps(&self) -> f32 {
        self.fps
    }

    /// How its sound is coded, where it has any.
    pub fn sound(&self) -> Option<SoundCoding> {
        self.sound
    }

    /// Gives sound to everybody who listens to it. Never waits; who does not take it loses it.
    pub fn publish_sound(&self, frame: SoundFrame) {
        let frame = Arc::new(frame);
        self.lock()
            .sounds
            .retain(|queue| !matches!(queue.try_send(frame.clone()), Err(mpsc::error::TrySendError::Closed(_))));
    }

    /// Joins the sound; `None` when the source is full.
    pub fn hear(&self) -> Option<mpsc::Receiver<Arc<SoundFrame>>> {
        let mut state = self.lock();
        state.sounds.retain(|queue| !queue.is_closed());
        if state.sounds.len() >= LISTENERS_MAX {
            return None;
        }
        let (queue, receiver) = mpsc::channel(QUEUE);
        state.sounds.push(queue);
        Some(receiver)
    }

    /// Pictures given to [`Self::publish`] so far.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Pictures that listeners lost because their queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Makes things go wrong, or right again, for everybody who listens.
    pub fn set_faults(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    /// What goes wrong now.
    pub fn faults(&self) -> Faults {
        *self.faults.borrow()
    }

    /// How many listen now.
    pub fn listeners(&self) -> usize {
        let mut state = self.lock();
        state.listeners.retain(|l| !l.queue.is_closed());
        state.listeners.len()
    }

    /// Sets the parameter sets; must come before the first picture.
    pub fn set_parameter_sets(&self, sets: ParameterSets) {
        self.sets.send_if_modified(|now| {
            if now.as_ref() == Some(&sets) {
                false
            } else {
                *now = Some(sets);
                true
            }
        });
    }

    /// The parameter sets, once known.
    pub fn parameter_sets(&self) -> Option<ParameterSets> {
        self.sets.borrow().clone()
    }

    /// Waits until the parameter sets are known; `None` when that takes longer than `within`.
    pub async fn wait_parameter_sets(&self, within: Duration) -> Option<ParameterSets> {
        let mut sets = self.sets.subscribe();
        let known = tokio::time::timeout(within, sets.wait_for(Option::is_some)).await.ok()?.ok()?;
        known.clone()
    }

    /// Gives a picture to every listener. Never waits.
    pub fn publish(&self, unit: AccessUnit) {
        let unit = Arc::new(unit);
        self.published.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        if unit.key {
            state.group.clear();
        }
        // A group starts with its key frame or is not kept at all.
        if unit.key || (!state.group.is_empty() && state.group.len() < GROUP_MAX) {
            state.group.push(unit.clone());
        } else {
            state.group.clear();
        }
        state.listeners.retain_mut(|tap| {
            if tap.waits_for_key && !unit.key {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return !tap.queue.is_closed();
            }
            match tap.queue.try_send(unit.clone()) {
                Ok(()) => tap.waits_for_key = false,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    tap.waits_for_key = true;
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
            }
            true
        });
    }

    /// Joins: the first picture is the last key frame, at once if there has been one. `None` when the source is full.
    pub fn listen(&self) -> Option<Listener> {
        let mut state = self.lock();
        state.listeners.retain(|l| !l.queue.is_closed());
        if state.listeners.len() >= LISTENERS_MAX {
            return None;
        }
        let (queue, receiver) = mpsc::channel(QUEUE);
        let mut waits_for_key = state.group.is_empty();
        for unit in &state.group {
            waits_for_key |= queue.try_send(unit.clone()).is_err();
        }
        state.listeners.push(Tap { queue, waits_for_key });
        Some(Listener { queue: receiver, first_pts: state.group.first().map(|u| u.pts) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A duration in units of the RTP clock.
pub fn to_clock(time: Duration) -> u64 {
    (time.as_nanos() * u128::from(CLOCK_HZ) / 1_000_000_000) as u64
}

/// Splits an Annex B byte stream at its start codes; trailing zeros belong to no unit.
pub fn split_annex_b(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let next_code = |b: &[u8]| b.windows(3).position(|w| w == [0, 0, 1]);
    std::iter::from_fn(move || {
        loop {
            let start = next_code(rest)? + 3;
            rest = &rest[start..];
            let end = next_code(rest).unwrap_or(rest.len());
            let mut nal = &rest[..end];
            while let Some((0, shorter)) = nal.split_last() {
                nal = shorter;
            }
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(pts: u64, key: bool) -> AccessUnit {
        AccessUnit { nals: vec![Bytes::from_static(&[0x41, 1])], key, pts, captured: SystemTime::UNIX_EPOCH }
    }

    fn drain(listener: &mut Listener) -> Vec<u64> {
        std::iter::from_fn(|| listener.queue.try_recv().ok()).map(|u| u.pts).collect()
    }

    #[test]
    fn who_joins_in_the_middle_starts_at_the_key_frame() {
        let source = LiveSource::new("gate", 12.0);
        (0..7).for_each(|n| source.publish(unit(n, n % 4 == 0)));
        let mut listener = source.listen().expect("room");
        source.publish(unit(7, false));
        assert_eq!(drain(&mut listener), [4, 5, 6, 7]);
    }

    #[test]
    fn who_joins_before_any_key_frame_waits_for_one() {
        let source = LiveSource::new("gate", 12.0);
        source.publish(unit(0, false));
        let mut listener = source.listen().expect("room");
        source.publish(unit(1, false));
        source.publish(unit(2, true));
        assert_eq!(drain(&mut listener), [2]);
        assert_eq!(source.dropped(), 1);
    }

    #[test]
    fn a_slow_listener_loses_pictures_up_to_a_key_frame_and_never_gets_a_torn_group() {
        let source = LiveSource::new("gate", 12.0);
        let mut slow = source.listen().expect("room");
        (0..100).for_each(|n| source.publish(unit(n, n % 10 == 0)));
        assert_eq!(drain(&mut slow), (0..QUEUE as u64).collect::<Vec<_>>());
        (100..125).for_each(|n| source.publish(unit(n, n % 10 == 5)));
        assert_eq!(drain(&mut slow), (105..125).collect::<Vec<_>>());
        assert_eq!(source.dropped(), 36 + 5);
    }

    #[test]
    fn listeners_are_bounded_and_leave_when_dropped() {
        let source = LiveSource::new("gate", 12.0);
        let all: Vec<_> = (0..LISTENERS_MAX).map_while(|_| source.listen()).collect();
        assert_eq!((all.len(), source.listen().is_none()), (LISTENERS_MAX, true));
        drop(all);
        assert_eq!(source.listeners(), 0);
        assert!(source.listen().is_some());
    }

    #[test]
    fn annex_b_is_split_at_both_kinds_of_start_code() {
        let nals: Vec<_> = split_annex_b(&[0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 0, 3]).collect();
        assert_eq!(nals, [&[0x67u8, 1][..], &[0x68, 2], &[0x65, 0, 3]]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_split_without_panic(bytes in proptest::collection::vec(0u8..3, 0..80)) {
            for nal in split_annex_b(&bytes) {
                prop_assert!(!nal.is_empty() && nal.last() != Some(&0));
            }
        }
    }
}
