//! What a simulated device is made of: inputs, outputs, and a moment in time.
//!
//! Each kind is a machine over [`Hardware`] that knows nothing of MQTT; [`super::peer`] puts it on the wire. Time is handed
//! in, so a test drives an hour of a door in microseconds.

use crate::mqtt::codec::Command;
use gatehouse_core::device::link::Outcome;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::CommandId;
use std::time::{Duration, Instant};

/// Of life-safety devices: half of the shortest time after which their silence counts, so that one lost message is no alarm.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);

/// A moment: for timers, and for what follows the hours of the day.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For timers.
    pub at: Instant,
    /// Seconds since 1970 on the compound's wall clocks.
    pub local_s: f64,
}

impl Moment {
    /// Hours since midnight.
    pub fn hour(self) -> f64 {
        (self.local_s / 3600.0).rem_euclid(24.0)
    }

    /// This moment, later.
    pub fn later(self, by: Duration) -> Self {
        Self { at: self.at + by, local_s: self.local_s + by.as_secs_f64() }
    }
}

/// What happens to a device from outside its link.
#[derive(Clone, Debug, PartialEq)]
pub enum Stimulus {
    /// Door: a card is held to the reader by someone who walks through when let in.
    Card {
        /// Its number.
        card: String,
        /// PIN typed with it.
        pin: Option<String>,
    },
    /// Door: someone stands before it and walks through if it is freed in this time.
    Waits(Duration),
    /// Door: the leaf is pulled open, locked or not.
    Force,
    /// Door: whoever walks through next props the leaf open (true); the prop is taken away and the leaf falls shut (false).
    Prop(bool),
    /// Door: the leaf is shut.
    Shut,
    /// Door: the button inside.
    ExitButton,
    /// Barrier: a vehicle drives onto the loop.
    VehicleArrives,
    /// Barrier: it drives off.
    VehicleLeaves,
    /// Barrier: the boom is hit (true), repaired (false).
    Hit(bool),
    /// Elevator: someone calls it to a floor.
    Call(i32),
    /// Elevator: it stops between floors with someone in it.
    Trap,
    /// Elevator: the technician frees it.
    Free,
    /// Fire panel: a detector line takes this state; `normal` takes the cause away, not the latched state.
    FirePoint {
        /// Line, from 1.
        point: u8,
        /// `normal`, `pre_alarm`, `alarm` or `fault`.
        state: &'static str,
    },
    /// Fire panel: the key switch resets it.
    KeyReset,
    /// Fire panel: test mode.
    Test(bool),
    /// Perimeter: the beam is broken (true), free again (false).
    Beam(bool),
    /// Sensor: a point takes this value; none: its own again.
    Measure {
        /// Which.
        point: String,
        /// What.
        value: Option<Value>,
    },
    /// Any: the cover is opened (true), closed (false).
    Tamper(bool),
}

/// What a machine is told.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The server asks.
    Command(&'a Command),
    /// The world acts.
    Stimulus(&'a Stimulus),
    /// The time it asked for is there.
    Wake,
}

/// What a machine says beside its points.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Something momentary, as the fields of an event.
    Event(serde_json::Value),
    /// Answer to a command.
    Result(CommandId, Outcome),
}

impl Output {
    /// The device has it and will do it.
    pub fn accepted(id: CommandId) -> Self {
        Self::Result(id, Outcome::Accepted)
    }

    /// Done, read back.
    pub fn executed(id: CommandId) -> Self {
        Self::Result(id, Outcome::Executed)
    }

    /// Not done.
    pub fn failed(id: CommandId, reason: &str) -> Self {
        Self::Result(id, Outcome::Failed { reason: reason.to_owned() })
    }

    /// An event with one word.
    pub fn happening(what: &str) -> Self {
        Self::Event(serde_json::json!({"type": "happening", "what": what}))
    }
}

/// A device's inside.
pub trait Hardware: Send + 'static {
    /// Takes one input.
    fn step(&mut self, input: Input<'_>, now: Moment) -> Vec<Output>;

    /// Its points as they are.
    fn points(&self, now: Moment) -> Vec<(String, Value)>;

    /// When it wants to be woken.
    fn wake(&self) -> Option<Instant>;

    /// How often it says that it is there, for those whose silence must be noticed within seconds.
    fn heartbeat(&self) -> Option<Duration> {
        None
    }
}

/// A point with a state word.
pub(super) fn word(name: &str, value: &str) -> (String, Value) {
    (name.to_owned(), Value::Text(value.to_owned()))
}

/// A point that is on or off.
pub(super) fn flag(name: &str, value: bool) -> (String, Value) {
    (name.to_owned(), Value::Bool(value))
}

/// A measured point, rounded to so many decimals.
pub(super) fn number(name: &str, value: f64, decimals: i32) -> (String, Value) {
    let scale = 10f64.powi(decimals);
    (name.to_owned(), Value::Number((value * scale).round() / scale))
}

/// The earliest of some moments.
pub(super) fn earliest(moments: impl IntoIterator<Item = Option<Instant>>) -> Option<Instant> {
    moments.into_iter().flatten().min()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use gatehouse_core::device::link::Verb;

    /// A machine on a clock wound by hand.
    pub(in crate::sim) struct Bench<H> {
        pub(in crate::sim) machine: H,
        pub(in crate::sim) now: Moment,
        next: u128,
    }

    impl<H: Hardware> Bench<H> {
        pub(in crate::sim) fn new(machine: H) -> Self {
            // 03:00 on 1 January 2025.
            Self { machine, now: Moment { at: Instant::now(), local_s: 1_735_689_600.0 + 3.0 * 3600.0 }, next: 1 }
        }

        pub(in crate::sim) fn ask(&mut self, verb: Verb) -> (CommandId, Vec<Output>) {
            let id = CommandId(uuid::Uuid::from_u128(self.next));
            self.next += 1;
            let command = Command { id, deadline: jiff::Timestamp::MAX, verb };
            (id, self.machine.step(Input::Command(&command), self.now))
        }

        pub(in crate::sim) fn act(&mut self, stimulus: Stimulus) -> Vec<Output> {
            self.machine.step(Input::Stimulus(&stimulus), self.now)
        }

        /// Lets time pass, waking the machine when it asked for it.
        pub(in crate::sim) fn pass(&mut self, time: Duration) -> Vec<Output> {
            let end = self.now.later(time);
            let mut outputs = Vec::new();
            while let Some(at) = self.machine.wake().filter(|at| *at <= end.at) {
                self.now = self.now.later(at.saturating_duration_since(self.now.at));
                outputs.extend(self.machine.step(Input::Wake, self.now));
            }
            self.now = end;
            outputs
        }

        pub(in crate::sim) fn point(&self, name: &str) -> String {
            let points = self.machine.points(self.now);
            points.iter().find(|(n, _)| n == name).map(|(_, v)| v.to_string()).unwrap_or_default()
        }
    }

    pub(in crate::sim) const fn secs(s: u64) -> Duration {
        Duration::from_secs(s)
    }
}
