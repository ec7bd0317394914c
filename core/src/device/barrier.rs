//! A vehicle barrier: position and loop in, open and close out.
//!
//! ```text
//!  Down ──open──▶ Opening ──up──▶ Up ──close──▶ Closing ──down──▶ Down
//! ```
//! The position that the barrier reports outranks what we believe: someone may have a key switch.

use super::link::Verb;
use super::{Device, Input as DeviceInput, Output};
use crate::event::Body;
use crate::site::Spec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where the boom stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Closed.
    Down,
    /// On its way up.
    Opening,
    /// Open.
    Up,
    /// On its way down.
    Closing,
}

/// What the barrier is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// It was told to open.
    Open,
    /// It was told to close.
    Close,
    /// It reports being up.
    IsUp,
    /// It reports being down.
    IsDown,
    /// It reports moving.
    Moves,
    /// The order to move failed.
    Failed,
}

/// A barrier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Barrier {
    state: State,
    vehicle: bool,
    hit: bool,
}

impl Barrier {
    fn turn(&mut self, input: Input) {
        use State::{Closing, Down, Opening, Up};
        self.state = match (self.state, input) {
            (Down, Input::Open | Input::Moves) => Opening,
            (Down, Input::Close | Input::Failed | Input::IsDown) => Down,
            (Opening, Input::Open | Input::Moves) => Opening,
            (Opening, Input::Failed) => Down,
            (Opening, Input::Close) => Closing,
            (Up, Input::Open | Input::Failed) => Up,
            (Up, Input::Close | Input::Moves) => Closing,
            (Closing, Input::Close | Input::Moves) => Closing,
            (Closing, Input::Open) => Opening,
            (Closing, Input::Failed) => Up,
            (Down | Opening | Up | Closing, Input::IsUp) => Up,
            (Opening | Up | Closing, Input::IsDown) => Down,
        };
    }
}

impl Device for Barrier {
    fn new(_: &Spec) -> Self {
        Self { state: State::Down, vehicle: false, hit: false }
    }

    fn step(&mut self, input: DeviceInput<'_>, _: &Spec, _: Timestamp) -> Vec<Output> {
        match input {
            DeviceInput::Point("position", value) => match value.as_word() {
                Some("up" | "open") => self.turn(Input::IsUp),
                Some("down" | "closed") => self.turn(Input::IsDown),
                Some("moving") => self.turn(Input::Moves),
                Some(_) | None => {}
            },
            DeviceInput::Point("loop", value) => self.vehicle = value.as_bool().unwrap_or(self.vehicle),
            DeviceInput::Point("boom", value) => {
                let hit = value.as_word() == Some("hit");
                if std::mem::replace(&mut self.hit, hit) != hit {
                    return vec![Output::Tell(Body::Tamper { active: hit, part: "boom".into() })];
                }
            }
            DeviceInput::Grant { .. } => {
                self.turn(Input::Open);
                return vec![Output::Send(Verb::Open)];
            }
            DeviceInput::Command(Verb::Open) => self.turn(Input::Open),
            DeviceInput::Command(Verb::Close) => self.turn(Input::Close),
            DeviceInput::Ended(Verb::Open | Verb::Close, false) => self.turn(Input::Failed),
            DeviceInput::Point(..)
            | DeviceInput::Happening(_)
            | DeviceInput::Command(_)
            | DeviceInput::Ended(..)
            | DeviceInput::Stream { .. }
            | DeviceInput::Motion(_)
            | DeviceInput::Back
            | DeviceInput::Tick => {}
        }
        vec![]
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Down => "down",
            State::Opening => "opening",
            State::Up => "up",
            State::Closing => "closing",
        }
    }

    fn verbs(_: &Spec) -> &'static [&'static str] {
        &["open", "close"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reported_position_outranks_belief() {
        let mut barrier = Barrier { state: State::Down, vehicle: false, hit: false };
        barrier.turn(Input::Open);
        assert_eq!(barrier.state, State::Opening);
        barrier.turn(Input::IsUp);
        barrier.turn(Input::Close);
        barrier.turn(Input::IsDown);
        assert_eq!(barrier.state, State::Down);
        barrier.turn(Input::IsUp);
        assert_eq!(barrier.state, State::Up);
    }

    #[test]
    fn a_failed_opening_leaves_it_down() {
        let mut barrier = Barrier { state: State::Down, vehicle: true, hit: false };
        barrier.turn(Input::Open);
        barrier.turn(Input::Failed);
        assert_eq!(barrier.state, State::Down);
    }
}
