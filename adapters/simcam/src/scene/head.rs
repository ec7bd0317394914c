//! The pan, tilt and zoom head of a virtual camera: a window that moves over the drawn scene.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pan and tilt at full speed, ranges a second: from end to end in four seconds.
const TURN_PER_S: f32 = 0.5;
/// Zoom at full speed, ranges a second.
const ZOOM_PER_S: f32 = 0.4;
/// Preset and absolute moves go this much faster than a hand on the stick.
const SLEW: f32 = 2.0;
/// Magnification at zoom 0: there is always something left to pan over.
const WIDEST: f32 = 1.25;
/// Magnification at zoom 1.
const LONGEST: f32 = 6.0;
/// Presets a head can store.
const PRESETS_MAX: usize = 64;

/// Where a head looks, in ONVIF's generic spaces.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Position {
    /// −1 left to 1 right.
    pub pan: f32,
    /// −1 down to 1 up.
    pub tilt: f32,
    /// 0 wide to 1 long.
    pub zoom: f32,
}

impl Position {
    fn within(self) -> Self {
        let clean = |v: f32, low: f32| if v.is_finite() { v.clamp(low, 1.0) } else { 0.0 };
        Self { pan: clean(self.pan, -1.0), tilt: clean(self.tilt, -1.0), zoom: clean(self.zoom, 0.0) }
    }

    /// The part of a w × h scene that is seen: left, top, width, height in pixels.
    pub fn window(self, w: usize, h: usize) -> (f32, f32, f32, f32) {
        let magnified = WIDEST * (LONGEST / WIDEST).powf(self.zoom);
        let (w, h) = (w as f32, h as f32);
        let (seen_w, seen_h) = (w / magnified, h / magnified);
        ((w - seen_w) / 2.0 * (1.0 + self.pan), (h - seen_h) / 2.0 * (1.0 - self.tilt), seen_w, seen_h)
    }
}

/// A stored position.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// The camera's own word for it.
    pub token: String,
    /// The name people gave it.
    pub name: String,
    /// Where it looks.
    pub position: Position,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Motion {
    Still,
    /// At this velocity, −1 to 1 of full speed, until then.
    Drive(Position, Instant),
    To(Position),
}

#[derive(Debug)]
struct State {
    at: Position,
    motion: Motion,
    since: Instant,
    presets: BTreeMap<String, Preset>,
    next: u32,
}

/// A head. It moves in real time, also while nobody looks.
#[derive(Debug)]
pub struct Head(Mutex<State>);

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

impl Head {
    /// A head that looks straight ahead and stores nothing.
    pub fn new() -> Self {
        Self(Mutex::new(State {
            at: Position::default(),
            motion: Motion::Still,
            since: Instant::now(),
            presets: BTreeMap::new(),
            next: 1,
        }))
    }

    fn now(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(now);
        state
    }

    /// Where it looks.
    pub fn position(&self, now: Instant) -> Position {
        self.now(now).at
    }

    /// Whether it moves.
    pub fn moving(&self, now: Instant) -> bool {
        self.now(now).motion != Motion::Still
    }

    /// Moves at a velocity (−1 to 1 of full speed on each axis) for so long or until told otherwise.
    pub fn drive(&self, velocity: Position, for_at_most: Duration, now: Instant) {
        let clean = |v: f32| if v.is_finite() { v.clamp(-1.0, 1.0) } else { 0.0 };
        let velocity = Position { pan: clean(velocity.pan), tilt: clean(velocity.tilt), zoom: clean(velocity.zoom) };
        self.now(now).motion = Motion::Drive(velocity, now + for_at_most);
    }

    /// Turns to a position.
    pub fn turn(&self, to: Position, now: Instant) {
        self.now(now).motion = Motion::To(to.within());
    }

    /// Stands still.
    pub fn stop(&self, now: Instant) {
        self.now(now).motion = Motion::Still;
    }

    /// The stored positions, in the order of their tokens.
    pub fn presets(&self) -> Vec<Preset> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).presets.values().cloned().collect()
    }

    /// Stores where it looks under a token, or a new one; its token. `None` when the store is full or has no such token.
    pub fn store(&self, token: Option<&str>, name: &str, now: Instant) -> Option<String> {
        let mut state = self.now(now);
        let position = state.at;
        let token = match token {
            Some(token) => state.presets.contains_key(token).then(|| token.to_owned())?,
            None if state.presets.len() >= PRESETS_MAX => return None,
            None => {
                state.next += 1;
                format!("preset-{:03}", state.next - 1)
            }
        };
        let name = if name.is_empty() { token.as_str() } else { name }.to_owned();
        state.presets.insert(token.clone(), Preset { token: token.clone(), name, position });
        Some(token)
    }

    /// Stores a position as it comes from the factory.
    pub fn preset(self, name: &str, position: Position) -> Self {
        {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let token = format!("preset-{:03}", state.next);
            state.next += 1;
            let preset = Preset { token: token.clone(), name: name.to_owned(), position: position.within() };
            state.presets.insert(token, preset);
        }
        self
    }

    /// Turns to a stored position; false when there is none of this token.
    pub fn recall(&self, token: &str, now: Instant) -> bool {
        let mut state = self.now(now);
        let Some(to) = state.presets.get(token).map(|preset| preset.position) else { return false };
        state.motion = Motion::To(to);
        true
    }

    /// Removes a stored position; false when there is none of this token.
    pub fn remove(&self, token: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).presets.remove(token).is_some()
    }
}

impl State {
    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        match self.motion {
            Motion::Still => {}
            Motion::Drive(velocity, until) => {
                let s = elapsed.min(until.saturating_duration_since(self.since)).as_secs_f32();
                self.at = Position {
                    pan: self.at.pan + velocity.pan * TURN_PER_S * s,
                    tilt: self.at.tilt + velocity.tilt * TURN_PER_S * s,
                    zoom: self.at.zoom + velocity.zoom * ZOOM_PER_S * s,
                }
                .within();
                if now >= until {
                    self.motion = Motion::Still;
                }
            }
            Motion::To(to) => {
                let s = elapsed.as_secs_f32();
                let towards = |at: f32, to: f32, per_s: f32| at + (to - at).clamp(-per_s * SLEW * s, per_s * SLEW * s);
                self.at = Position {
                    pan: towards(self.at.pan, to.pan, TURN_PER_S),
                    tilt: towards(self.at.tilt, to.tilt, TURN_PER_S),
                    zoom: towards(self.at.zoom, to.zoom, ZOOM_PER_S),
                };
                if self.at == to {
                    self.motion = Motion::Still;
                }
            }
        }
        self.since = self.since.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_drive_ends_by_itself_and_a_preset_is_found_again() {
        let (head, start) = (Head::new(), Instant::now());
        head.drive(Position { pan: 1.0, tilt: 0.0, zoom: 0.5 }, SECOND, start);
        assert!(head.moving(start + SECOND / 2));
        let there = head.position(start + 3 * SECOND);
        assert!((there.pan - 0.5).abs() < 0.01 && (there.zoom - 0.2).abs() < 0.01, "{there:?}");
        assert!(!head.moving(start + 3 * SECOND));
        let token = head.store(None, "corner", start + 3 * SECOND).expect("room");
        head.turn(Position::default(), start + 3 * SECOND);
        assert_eq!(head.position(start + 8 * SECOND), Position::default());
        assert!(head.recall(&token, start + 8 * SECOND) && !head.recall("none", start + 8 * SECOND));
        assert_eq!(head.position(start + 12 * SECOND), there);
        assert!(head.remove(&token) && !head.remove(&token) && head.presets().is_empty());
    }

    proptest! {
        #[test]
        fn whatever_it_is_told_it_looks_at_the_scene(
            told in proptest::collection::vec((any::<f32>(), any::<f32>(), any::<f32>(), any::<bool>()), 1..20)
        ) {
            let (head, mut now) = (Head::new(), Instant::now());
            for (pan, tilt, zoom, drive) in told {
                let position = Position { pan, tilt, zoom };
                if drive { head.drive(position, SECOND, now) } else { head.turn(position, now) }
                now += SECOND / 3;
                let (x, y, w, h) = head.position(now).window(640, 360);
                prop_assert!(x >= -0.01 && y >= -0.01 && w >= 1.0 && h >= 1.0);
                prop_assert!(x + w <= 640.01 && y + h <= 360.01);
            }
        }
    }
}
