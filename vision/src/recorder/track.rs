//! One camera's way into the recorder, and which disk it leads to.

use super::queue::NotTaken;
use super::writer::{Command, Health};
use super::{Shared, Slot, stopped};
use crate::audio::AudioFrame;
use crate::hub::AccessUnit;
use gatehouse_core::id::DeviceKey;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One camera's way into the recorder.
#[derive(Debug)]
pub struct Track {
    key: DeviceKey,
    disks: Arc<[Slot]>,
    shared: Arc<Shared>,
    home: usize,
    /// Where it is recorded now.
    at: AtomicUsize,
    /// Whether a queue was full, so that units are left out until a key frame.
    paused: AtomicBool,
    /// Whether its pictures reach each of the disks.
    states: Vec<Arc<Health>>,
}

impl Track {
    pub(super) fn open(key: DeviceKey, home: usize, disks: Arc<[Slot]>, shared: Arc<Shared>) -> io::Result<Self> {
        let states: Vec<_> = disks.iter().map(|_| Arc::new(Health::default())).collect();
        let track =
            Self { key, disks, shared, home, at: AtomicUsize::new(home), paused: AtomicBool::new(false), states };
        let (Some(slot), Some(open)) = (track.disks.get(home), track.open_at(home)) else { return Err(stopped()) };
        match slot.commands.send(open) {
            Ok(()) => {}
            // It is opened with the first key frame that finds room.
            Err(NotTaken::Full(_)) => track.at.store(usize::MAX, Ordering::Relaxed),
            Err(NotTaken::Stopped) => return Err(stopped()),
        }
        Ok(track)
    }

    fn open_at(&self, n: usize) -> Option<Command> {
        Some(Command::Open { key: self.key.clone(), health: self.states.get(n)?.clone() })
    }

    /// Hands a unit to a writer; never waits. When the queue is full the camera pauses until its next key frame.
    pub fn record(&self, unit: &Arc<AccessUnit>) {
        if unit.key {
            self.choose();
        }
        let slot = self.disks.get(self.at.load(Ordering::Relaxed));
        let waits = self.paused.load(Ordering::Relaxed) && !unit.key;
        let Some(slot) = slot.filter(|slot| !waits && !slot.state.is_held()) else { return self.leave_out() };
        match slot.commands.send(Command::Unit { key: self.key.clone(), unit: unit.clone() }) {
            Ok(()) => self.paused.store(false, Ordering::Relaxed),
            Err(NotTaken::Full(_)) => {
                slot.state.fall_behind();
                self.leave_out();
            }
            Err(NotTaken::Stopped) => self.leave_out(),
        }
    }

    /// Hands a frame of audio to a writer; never waits. While the pictures pause nothing is heard either.
    pub fn record_audio(&self, frame: &Arc<AudioFrame>) {
        let slot = self.disks.get(self.at.load(Ordering::Relaxed));
        let paused = self.paused.load(Ordering::Relaxed);
        let Some(slot) = slot.filter(|slot| !paused && !slot.state.is_held()) else { return };
        // A full queue is noticed with the next picture.
        let _ = slot.commands.send(Command::Audio { key: self.key.clone(), frame: frame.clone() });
    }

    fn leave_out(&self) {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        self.paused.store(true, Ordering::Relaxed);
    }

    /// Goes home when that disk is well, else to the next that is; stays where none is.
    fn choose(&self) {
        let (at, count) = (self.at.load(Ordering::Relaxed), self.disks.len());
        let well = |n: &usize| self.disks.get(*n).is_some_and(|slot| slot.state.is_well());
        let here = Some(at).filter(well);
        let others = || (1..count).map(|step| (self.home + step) % count).find(well);
        let to = Some(self.home).filter(well).or(here).or_else(others);
        let to = to.unwrap_or(if at < count { at } else { self.home });
        if to == at {
            return;
        }
        let (Some(slot), Some(open)) = (self.disks.get(to), self.open_at(to)) else { return };
        // To open closes what is open there from before: two files of a camera never cover the same time.
        if slot.commands.send(open).is_ok() {
            self.close();
            self.at.store(to, Ordering::Relaxed);
        }
    }

    /// Ends the camera's file. Its recordings stay known.
    pub fn close(&self) {
        if let Some(slot) = self.disks.get(self.at.load(Ordering::Relaxed)) {
            // When the queue is full the writer closes it with the gap that follows, or at the end.
            let _ = slot.commands.send(Command::Close { key: self.key.clone() });
        }
    }

    /// Whether the last part reached the disk.
    pub fn recording(&self) -> bool {
        let at = self.at.load(Ordering::Relaxed);
        let written = self.states.get(at).is_some_and(|state| state.recording());
        written && self.disks.get(at).is_some_and(|slot| !slot.state.is_held() && !slot.state.is_slow())
    }
}
